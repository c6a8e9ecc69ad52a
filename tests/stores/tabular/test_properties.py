"""What is read equals what was written, whatever the dialect; and whatever the bytes, the account of lines holds."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stores.tabular import Table, TableError, TableOptions, open_table, writer_for

QUICK = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    database=None,
)
NAMES = ["id", "text", "label"]
CELLS = st.text(
    st.one_of(
        st.sampled_from('"",;\t|\\ab \n\r\'é😀\u2028\x00{}[]:'),
        st.characters(codec="utf-8", exclude_characters="\ufeff"),
    ),
    max_size=12,
)


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    """Rows with a number first, so that none is blank."""
    count = draw(st.integers(1, 15))
    return [[str(n), draw(CELLS), draw(st.sampled_from(["ham", "spam"]))] for n in range(count)]


def accounted(table: Table) -> list[list[object]]:
    rows = list(table.rows())
    counts = table.counts
    assert counts.lines == counts.rows + counts.refused + counts.header + counts.blank + counts.continuation
    assert counts.seen == len(rows)
    assert sum(row.problem is not None for row in rows) == counts.refused
    return [list(row.values.values()) for row in rows]


@QUICK
@given(
    rows=tables(),
    delimiter=st.sampled_from(",;\t|"),
    line_end=st.sampled_from(["\n", "\r\n"]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    everything=st.booleans(),
    packed=st.booleans(),
    quote=st.sampled_from(["auto", "double"]),
)
def test_delimited_text(
    rows: list[list[str]],
    delimiter: str,
    line_end: str,
    encoding: str,
    everything: bool,
    packed: bool,
    quote: str,
) -> None:
    buffer = io.StringIO(newline="")
    # Fields with any character of the line end are quoted, so both are in it while writing.
    style = csv.QUOTE_ALL if everything else csv.QUOTE_MINIMAL
    csv.writer(buffer, delimiter=delimiter, lineterminator="\r\n", quoting=style).writerows([NAMES, *rows])
    content = buffer.getvalue().encode(encoding)
    if line_end == "\n" and not any("\r" in cell for row in rows for cell in row):
        content = buffer.getvalue().replace("\r\n", "\n").encode(encoding)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        path.write_bytes(gzip.compress(content) if packed else content)
        table = open_table(path, TableOptions(delimiter, quote))
        assert accounted(table) == rows
        assert table.columns == NAMES
        found = open_table(path, TableOptions(quote=quote))
        if found.columns == NAMES:  # a table whose texts have the rhythm of another delimiter can be mistaken
            assert accounted(found) == rows


@QUICK
@given(rows=tables(), delimiter=st.sampled_from(",;\t|"))
def test_delimited_text_without_quoting(rows: list[list[str]], delimiter: str) -> None:
    unbroken = [
        [cell.translate(dict.fromkeys(map(ord, delimiter + "\r\n"), "_")) for cell in row] for row in rows
    ]
    content = "\n".join(delimiter.join(row) for row in [NAMES, *unbroken])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.txt")
        path.write_bytes(content.encode())
        table = open_table(path, TableOptions(delimiter, "none"))
        assert accounted(table) == unbroken
        assert table.counts.lines == len(rows) + 1


@QUICK
@given(rows=tables(), delimiter=st.sampled_from(",;\t|"))
def test_delimited_text_with_backslashes(rows: list[list[str]], delimiter: str) -> None:
    def quoted(cell: str) -> str:
        return '"' + cell.replace("\\", "\\\\").replace('"', '\\"') + '"'

    # A carriage return at the end of a line is its end.
    rows = [[cell.rstrip("\r\n") for cell in row] for row in rows]
    content = "\n".join(delimiter.join(map(quoted, row)) for row in [NAMES, *rows])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        path.write_bytes(content.encode())
        assert accounted(open_table(path, TableOptions(delimiter, "backslash"))) == rows


@QUICK
@given(rows=tables(), indent=st.sampled_from([None, 1]), array=st.booleans(), ascii_only=st.booleans())
def test_json(rows: list[list[str]], indent: int | None, array: bool, ascii_only: bool) -> None:
    objects = [dict(zip(NAMES, row, strict=True)) for row in rows]
    if array:
        content = json.dumps(objects, indent=indent, ensure_ascii=ascii_only)
    else:
        content = "\n".join(json.dumps(item, indent=indent, ensure_ascii=ascii_only) for item in objects)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.json")
        path.write_bytes(content.encode())
        assert accounted(open_table(path)) == rows


@QUICK
@given(rows=tables(), group=st.integers(1, 20), dictionary=st.booleans(), binary=st.booleans())
def test_parquet(rows: list[list[str]], group: int, dictionary: bool, binary: bool) -> None:
    columns = {name: [row[index] for row in rows] for index, name in enumerate(NAMES)}
    arrays = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    if binary:
        arrays["text"] = arrays["text"].cast(pa.binary())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.parquet")
        pq.write_table(pa.table(arrays), path, row_group_size=group, use_dictionary=dictionary)
        assert accounted(open_table(path)) == rows


@QUICK
@given(rows=tables(), name=st.sampled_from(["a.csv", "a.tsv", "a.jsonl", "a.json"]))
def test_what_is_written_is_read_again(rows: list[list[str]], name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.json"), Path(folder, name)
        if name.endswith("sv"):
            source = Path(folder, "in.csv")
            with source.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, quoting=csv.QUOTE_ALL).writerows([NAMES, *rows])
        else:
            source.write_text(
                json.dumps([dict(zip(NAMES, row, strict=True)) for row in rows]), encoding="utf-8"
            )
        table = open_table(source)
        writer = writer_for(table, target, {})
        parts = []
        for number, chunk in enumerate(table.chunks(chunk_rows=4)):
            parts.append(Path(folder, f"part-{number}-{name}"))
            writer.write_part(parts[-1], chunk, {})
        writer.assemble(parts, target)
        assert accounted(open_table(target, TableOptions(quote="double"))) == rows


def seeds() -> dict[str, bytes]:
    rows = [[str(n), f'text {n}, with "quotes"\nand lines ü', "ham" if n % 2 else "spam"] for n in range(40)]
    buffer = io.StringIO()
    csv.writer(buffer).writerows([NAMES, *rows])
    lines = "\n".join(json.dumps(dict(zip(NAMES, row, strict=True))) for row in rows)
    sink = io.BytesIO()
    pq.write_table(pa.table({name: [row[i] for row in rows] for i, name in enumerate(NAMES)}), sink)
    return {
        "a.csv": buffer.getvalue().encode(),
        "a.tsv": buffer.getvalue().replace(",", "\t").encode("utf-16"),
        "a": buffer.getvalue().replace("\n", "\r").encode(),
        "a.csv.gz": gzip.compress(buffer.getvalue().encode(), mtime=0),
        "a.jsonl": lines.encode(),
        "a.json": ("[" + lines.replace("\n", ",\n") + "]").encode(),
        "a.parquet": sink.getvalue(),
    }


def _flip(data: bytearray, rng: random.Random) -> None:
    for _ in range(rng.randint(1, 8)):
        data[rng.randrange(len(data))] = rng.randrange(256)


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[rng.randrange(len(data)) :]


def _remove(data: bytearray, rng: random.Random) -> None:
    begin = rng.randrange(len(data))
    del data[begin : begin + rng.randint(1, 60)]


def _insert(data: bytearray, rng: random.Random) -> None:
    odd = [
        b'"',
        b'""',
        b'\\"',
        b"\r",
        b"\n\n",
        b"\x00",
        b"\xff\xfe",
        b",,,",
        b"[{",
        b"}]",
        b"\xef\xbb\xbf",
        b"\t" * 9,
    ]
    for _ in range(rng.randint(1, 4)):
        begin = rng.randrange(len(data))
        data[begin:begin] = rng.choice(odd)


def _repeat(data: bytearray, rng: random.Random) -> None:
    begin = rng.randrange(len(data))
    data[begin:begin] = data[begin : begin + rng.randint(1, 300)] * rng.randint(1, 5)


@pytest.mark.parametrize("name", sorted(seeds()))
def test_mutated_files_raise_nothing_but_the_readers_errors(name: str, tmp_path: Path) -> None:
    rng = random.Random(name)
    original = seeds()[name]
    path = tmp_path / name
    changes: list[Callable[[bytearray, random.Random], None]] = [_flip, _cut, _remove, _insert, _repeat]
    read = 0
    for _ in range(150):
        data = bytearray(original)
        for change in rng.sample(changes, rng.randint(1, 2)):
            if data:
                change(data, rng)
        path.write_bytes(data)
        options = TableOptions(
            quote=rng.choice(["auto", "double", "backslash", "none"]), header=rng.random() < 0.8
        )
        try:
            accounted(open_table(path, options))
            read += 1
        except TableError:
            continue
    assert read > (0 if name in ("a.parquet", "a.csv.gz") else 50), "most text files are read in spite of it"
