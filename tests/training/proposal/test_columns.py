"""Which columns are taken for text and label."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from stores.tabular import open_table
from training.errors import ColumnNotFound
from training.proposal.columns import ChosenColumns, choose_columns, column_contents, other_texts

TEXT = "The delivery number {} came too late and the box was open"


def table(folder: Path, **columns: str) -> Path:
    """40 rows; `{}` in a value is the row's number, `a|b` takes turns."""
    path = folder / "rows.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        for row in range(40):
            turns = [value.split("|") for value in columns.values()]
            writer.writerow([choices[row % len(choices)].format(row) for choices in turns])
    return path


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"text": TEXT, "label": "a|b"}, ChosenColumns(("text",), "label", "by name")),
        (
            {"Title": "t {}", "Description": TEXT, "Topic": "a|b"},
            ChosenColumns(("Title", "Description"), "Topic", "by name"),
        ),
        ({"v1": "ham|spam", "v2": TEXT}, ChosenColumns(("v2",), "v1", "by content")),
        (
            {"nr": "{}", "team": "a|b|c", "anliegen": TEXT, "mark": "1|2|3|4"},
            ChosenColumns(("anliegen",), "team", "by content"),
        ),
        (
            {"when": "2024-01-0{}", "url": "https://example.org/{}", "what": TEXT, "stars": "1|2|3|4|5"},
            ChosenColumns(("what",), "stars", "by content"),
        ),
        ({"a": "x|y", "text": TEXT}, ChosenColumns(("text",), "a", "by content")),
    ],
)  # fmt: skip
def test_by_name_or_content(columns: dict[str, str], expected: ChosenColumns, tmp_path: Path) -> None:
    assert choose_columns(open_table(table(tmp_path, **columns))) == expected


@pytest.mark.parametrize(
    ("columns", "named"),
    [
        ({"body1": TEXT, "body2": TEXT + "!", "label": "a|b"}, ["'body1'", "'body2'", "--text-column"]),
        (
            {"text": TEXT, "team": "a|b", "urgent": "yes|no"},
            ["'team'", "'urgent'", "'yes'", "--label-column"],
        ),
        ({"text": TEXT, "score": "{}.5"}, ["'score'", "--label-column"]),
        ({"number": "{}", "label": "a|b"}, ["--text-column"]),
    ],
)
def test_what_cannot_be_told_is_refused_with_the_choices(
    columns: dict[str, str], named: list[str], tmp_path: Path
) -> None:
    with pytest.raises(ColumnNotFound) as refusal:
        choose_columns(open_table(table(tmp_path, **columns)))
    assert all(name in str(refusal.value) for name in named)


def test_what_is_given_is_taken(tmp_path: Path) -> None:
    rows = open_table(table(tmp_path, text=TEXT, subject="{} words that follow", team="a|b", label="c|d"))
    assert choose_columns(rows, ["subject", "text"], "team") == ChosenColumns(
        ("subject", "text"), "team", "as given"
    )
    chosen = choose_columns(rows, label="team")
    assert chosen == ChosenColumns(("text",), "team", "by name")
    assert other_texts(column_contents(rows), chosen) == ["text", "subject"]
    with pytest.raises(ColumnNotFound, match="'teams'"):
        choose_columns(rows, label="teams")


def test_a_further_column_with_a_usual_name_is_said(tmp_path: Path) -> None:
    chosen = choose_columns(open_table(table(tmp_path, text=TEXT, labels="a|b", label="c|d")))
    assert (chosen.label, chosen.other_labels) == ("label", ("labels",))


def test_a_first_row_of_data_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(f"2,{TEXT * 2}\n" + "".join(f"{row % 3},{TEXT.format(row)}\n" for row in range(30)))
    with pytest.raises(ColumnNotFound, match="--no-header"):
        choose_columns(open_table(path))
