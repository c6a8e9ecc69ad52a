"""Files made to fill the memory, or never to end: each costs what is stated in `limits.py`."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest

from stores.tabular import LineCounts, TableDamaged, open_table
from stores.tabular.delimited import _Reading
from stores.tabular.limits import MAX_ROW_BYTES
from tests import golden_messages as messages

SMALL = 2**18
"""The bound of a row that these tests set, so that their files are small."""
PEAK = 16 * SMALL
"""Of one row with its copies, the sample and the blocks that are read."""


@pytest.fixture(autouse=True)
def _small_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MAX_ROW_BYTES > SMALL
    for module, name in (("records", "ROW"), ("lines", "ROW"), ("lines", "LINE"), ("json_table", "ROW")):
        size = SMALL if name == "ROW" else 8 * SMALL
        monkeypatch.setattr(f"stores.tabular.{module}.MAX_{name}_BYTES", size)
    for module in ("lines", "delimited"):
        monkeypatch.setattr(f"stores.tabular.{module}.SAMPLE_BYTES", SMALL // 4, raising=False)


def packed(path: Path, begin: bytes, repeated: bytes, size: int, end: bytes = b"") -> Path:
    path.write_bytes(gzip.compress(begin + repeated * (size // len(repeated)) + end, 1))
    return path


def peak_of(path: Path) -> tuple[int, LineCounts]:
    tracemalloc.start()
    table = open_table(path)
    for _ in table.chunks(chunk_rows=100):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, table.counts


def test_a_quote_that_is_never_closed_costs_one_row(tmp_path: Path) -> None:
    """Sixty times the bound behind an open quote: looked at up to the bound, then read as rows."""
    line = b"3," + b"x" * 997 + b"\n"
    peak, counts = peak_of(packed(tmp_path / "a.csv.gz", b'id,text\n1,"x, y"\n2,"open\n', line, 60 * SMALL))
    assert (counts.rows, counts.refused) == (1 + 60 * SMALL // len(line), 1)
    assert peak < PEAK


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl.gz"])
def test_a_line_beyond_the_bound_is_dropped_as_it_is_read(name: str, tmp_path: Path) -> None:
    begin = b"id,text\n1,a\n2," if "csv" in name else b'{"text": "a"}\n{"text": "b"}\n{"text": "'
    end = b"\n3,b\n" if "csv" in name else b'"}\n{"text": "c"}\n'
    peak, counts = peak_of(packed(tmp_path / name, begin, b"x", 6 * SMALL, end))
    assert (counts.lines, counts.refused) == (4, 1)
    assert peak < PEAK


def test_a_line_without_an_end_stops_the_reading(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.csv.gz", b"id,text\n1,", b"\x00", 10 * SMALL)
    with pytest.raises(TableDamaged, match=messages.PARQUET_NOT_ROWS):
        peak_of(path)


def test_an_object_without_an_end_stops_the_reading(tmp_path: Path) -> None:
    path = packed(tmp_path / "a.json.gz", b'[{"text": "a"}, {"text": ["', b"{,", 3 * SMALL)
    with pytest.raises(TableDamaged, match=messages.LINE_TOO_LONG):
        peak_of(path)


def test_many_quotes_cost_no_more_than_reading(tmp_path: Path) -> None:
    """Each line opens a quote that the next one breaks: looking ahead ends at the next quote."""
    path, count = tmp_path / "a.csv", 3000
    path.write_text('id,text\n1,"a, b"\n' + '2,"open ""and\n' * count)
    table = open_table(path)
    looked_at = 0
    peek = _Reading.peek

    def counting(self: _Reading, ahead: int) -> str | None:
        nonlocal looked_at
        looked_at += 1
        return peek(self, ahead)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_Reading, "peek", counting)
        assert sum(map(len, table.chunks())) == count + 1
    assert looked_at < 3 * count
