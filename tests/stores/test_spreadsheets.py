"""No cell begins a formula, in a spreadsheet of any language."""

import csv
import io

import pytest

from stores.tabular.spreadsheets import spreadsheet_safe

SIGNS = ["=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", "\u2212"]


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("before", ["", "\u3000", "\t", "\n", '"', "\ufeff", "text; ", 'text;"', "a\tb\t"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_no_cell_begins_with_a_sign(sign: str, before: str, separator: str) -> None:
    buffer = io.StringIO()
    csv.writer(buffer).writerow(["id", spreadsheet_safe(f"{before}{sign}1+1"), "label"])
    for row in csv.reader(io.StringIO(buffer.getvalue(), newline=""), delimiter=separator):
        for cell in row:
            assert cell.lstrip(' \u3000\t\r\n"\ufeff')[:1] not in SIGNS, row


@pytest.mark.parametrize("text", ["plain", "a - b", "1+1", "rates, -5%", "me@example.org", ""])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert spreadsheet_safe(text) == text


def test_long_runs_of_separators_cost_no_more_than_their_length() -> None:
    assert len(spreadsheet_safe(";\t" * 200_000 + "=")) == 400_002
    assert len(spreadsheet_safe("; " * 200_000)) == 400_000
    assert len(spreadsheet_safe(" " * 400_000)) == 400_000
