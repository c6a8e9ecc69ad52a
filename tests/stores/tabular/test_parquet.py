"""Parquet: types as they are, positions, and files that stand for more than they hold."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stores.tabular import TableDamaged, TableError, TableRefused, open_table
from stores.tabular.parquet import ParquetTable
from tests import golden_messages as messages

ROOT = Path(__file__).parents[3]


def test_columns_of_one_name_are_told_apart(tmp_path: Path) -> None:
    table = pa.Table.from_arrays(
        [pa.array(["a"]), pa.array(["b"]), pa.array(["c"])], ["text", "note", "note"]
    )
    pq.write_table(table, tmp_path / "a.parquet")
    opened = open_table(tmp_path / "a.parquet")
    assert opened.columns == ["text", "note", "note"]
    assert [row.values for row in opened.rows()] == [{"text": "a", "note": "b", "note#3": "c"}]
    assert [row.values for row in opened.rows(needed=[2])] == [{"note#3": "c"}]
    assert [row.values for row in opened.rows(needed=[0, 1])] == [{"text": "a", "note": "b"}]


def test_bytes_are_text_or_refused(tmp_path: Path) -> None:
    columns = {
        "text": pa.array([b"caf\xc3\xa9", b"caf\xe9", None]),
        "cat": pa.array(["x", "y", "x"]).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.pq")
    rows = list(open_table(tmp_path / "a.pq").rows(needed=[0, 1]))
    assert [row.values["text"] for row in rows] == ["café", "caf\udce9", None]
    assert [row.problem for row in rows] == [None, "bytes in 'text' that are not UTF-8", None]
    assert [row.values["cat"] for row in rows] == ["x", "y", "x"]


def test_the_kind_of_a_column(tmp_path: Path) -> None:
    columns = {
        "a": ["x"],
        "b": [b"x"],
        "c": [{"d": 1}],
        "e": [[1]],
        "f": [1.5],
        "g": pa.array(["x"]).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    table = open_table(tmp_path / "a.parquet")
    assert isinstance(table, ParquetTable)
    assert [table.kind(index) for index in range(6)] == [
        "text",
        "bytes",
        "nested",
        "nested",
        "double",
        "text",
    ]


@pytest.mark.parametrize("group", [50, 1000])
def test_reading_continues_at_any_position(group: int, tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"n": list(range(1000)), "text": ["x"] * 1000}), tmp_path / "a.parquet", row_group_size=group
    )
    table = open_table(tmp_path / "a.parquet")
    chunks = list(table.chunks(chunk_rows=100))
    for index, chunk in enumerate(chunks):
        rest = list(table.chunks(chunk.end, chunk_rows=100))
        assert [each.column(0) for each in rest] == [each.column(0) for each in chunks[index + 1 :]]
    assert table.counts.lines == table.counts.rows == 1000


def test_what_is_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(TableDamaged, match=messages.NOT_PARQUET):
        open_table(tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["x" * 100] * 100}), tmp_path / "b.parquet", use_dictionary=False)
    content = (tmp_path / "b.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(b"PAR1" + b"\xff" * 40 + content[44:])
    with pytest.raises(TableDamaged, match=messages.PARQUET_DAMAGED):
        open_table(tmp_path / "b.parquet")


def test_without_pyarrow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pq.write_table(pa.table({"text": ["x"]}), tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(TableRefused, match=r"champion\[batch\]"):
        open_table(tmp_path / "a.parquet")


def bomb(path: Path, kind: str) -> Path:
    """A small file that unpacks to more than 2 GB."""
    if kind == "repeated value":
        long = pa.DictionaryArray.from_arrays(pa.array([0] * 256, pa.int32()), pa.array(["x" * 10_000_000]))
        pq.write_table(pa.table({"text": long}), path, compression="zstd", store_schema=False)
    elif kind == "large page":
        pq.write_table(
            pa.table({"text": ["x" * 100_000_000]}), path, compression="zstd", use_dictionary=False
        )
    else:
        lists = pa.array([[0] * 20_000_000, [0]], pa.list_(pa.int64()))
        pq.write_table(pa.table({"text": ["a", "b"], "list": lists}), path, compression="zstd")
    return path


@pytest.mark.parametrize("kind", ["large page", "long list"])
def test_files_that_stand_for_gigabytes_are_refused(kind: str, tmp_path: Path) -> None:
    path = bomb(tmp_path / "a.parquet", kind)
    assert path.stat().st_size < 10_000
    with pytest.raises(TableDamaged, match="column"):
        open_table(path)


@pytest.mark.slow
def test_a_value_that_is_repeated_is_read_in_bounded_memory(tmp_path: Path) -> None:
    path = bomb(tmp_path / "a.parquet", "repeated value")
    assert path.stat().st_size < 10_000
    code = (
        "import re, sys; from pathlib import Path; from stores.tabular import open_table\n"
        "chunks = open_table(Path(sys.argv[1])).chunks(); next(chunks); next(chunks)\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) // 1024)"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert int(run.stdout) < 600, "MiB; unfolded the file is 2.5 GB"


def test_each_damaged_byte_of_a_footer_is_read_or_refused(tmp_path: Path) -> None:
    """Offsets, sizes and counts of the footer may be anything, negative numbers included."""
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"text": ["one", "two"] * 20, "label": ["a", "b"] * 20}), path, row_group_size=20)
    whole = path.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little")
    refused = 0
    for at in range(len(whole) - 8 - footer, len(whole) - 8):
        for bit in (1, 64):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ bit]) + whole[at + 1 :])
            try:
                table = open_table(path)
                for _ in table.rows(needed=list(range(len(table.columns)))):
                    pass
            except TableError:
                refused += 1
    assert refused > footer // 4
