"""Personal data in a text is masked, what only looks alike is not, and the cost is linear."""

import time

import pytest

from stores.predictions.redaction import masked

MASKED = {
    "email": [
        "ann@example.org", "a.b+c@sub.example.co.uk", "ünï.ö@exämple.de", "ann＠example.org", "o'neil@example.org",
        "x_y-z@1and1.com",
    ],
    "phone": [
        "+44 20 7946 0958", "+4917612345678", "0044 20 7946 0958", "(020) 7946 0958", "0171 1234567", "030/1234567",
        "(555) 123-4567", "555-123-4567", "555.123.4567", "1-800-555-0199", "+1 (202) 555-0143", "5551234567",
        "555-0199", "+49 (0)30 123456", "+33 1 23 45 67 89",
    ],
    "card": [
        "4111 1111 1111 1111", "4111111111111111", "4111-1111-1111-1111", "3782 822463 10005", "5500 0000 0000 0004",
        "6011000990139424", "4111\u00a01111\u00a01111\u00a01111", "４１１１１１１１１１１１１１１１",
    ],
    "iban": [
        "DE89 3704 0044 0532 0130 00", "DE89370400440532013000", "GB29 NWBK 6016 1331 9268 19",
        "gb29nwbk60161331926819", "FR14 2004 1010 0505 0001 3M02 606", "NO93 8601 1117 947",
        "MT84MALT011000012345MTLCAST001S",
    ],
}  # fmt: skip
KEPT = [
    "x@y", "a @ b.com", "@handle", "2024-01-31", "01.02.2024", "3.14159265358979", "0.123456789012", "1,234,567.00",
    "1700000000", "192.168.100.200", "10:15:30", "order 123456789012", "4111 1111 1111 1112 0000 0000",
    "DE89 3704 0044 0532 0130 01", "version 1.2.3.4", "$1234567890", "ISBN 12345", "1999-2000", "AB12",
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "value"), [(kind, value) for kind, values in MASKED.items() for value in values]
)
@pytest.mark.parametrize("around", ["{}", "before {} after", "({})", "{}.", "x: {}, {}"])
def test_personal_data_is_masked_wherever_it_stands(kind: str, value: str, around: str) -> None:
    if around == "({})" and value.startswith("("):
        around = "{}"
    count = around.count("{}")
    assert masked(around.format(*[value] * count)) == around.format(*[f"[{kind}]"] * count)


@pytest.mark.parametrize("value", KEPT)
def test_what_only_looks_like_it_stays(value: str) -> None:
    assert masked(f"see {value} here") == f"see {value} here"


@pytest.mark.parametrize(
    "part",
    ["@", "1 ", "1", "a", "DE12 ", "(((", "a@b.", "+1()", "a@b.co ", "1111 ", "+", "4111 1111 1111 111 "],
)
def test_the_cost_grows_with_the_length_only(part: str) -> None:
    def seconds(characters: int) -> float:
        text = part * (characters // len(part))
        began = time.process_time()
        masked(text)
        return time.process_time() - began

    # Ten times the text: a quadratic pattern takes a hundred times as long.
    assert seconds(400_000) < 40 * max(seconds(40_000), 0.01)
