"""JSON lines, arrays and objects over several lines: columns of all rows, and no row lost."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from stores.tabular import TableDamaged, TableRefused, open_table
from stores.tabular.limits import MAX_ROW_BYTES
from tests import golden_messages as messages

ROWS = [{"text": f'text "{n}" with {{braces}} [and] \\ ü', "label": str(n % 2)} for n in range(50)]


def written(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


@pytest.mark.parametrize(
    "content",
    [
        "\n".join(map(json.dumps, ROWS)),
        "\r\n".join(map(json.dumps, ROWS)) + "\r\n",
        "\r".join(map(json.dumps, ROWS)),
        json.dumps(ROWS),
        json.dumps(ROWS, indent=1),
        "[\n" + ",\n".join(map(json.dumps, ROWS)) + "\n]\n",
        "\n".join(json.dumps(row, indent=2, ensure_ascii=False) for row in ROWS),
    ],
    ids=["lines", "crlf", "cr", "array", "indented array", "array of lines", "indented objects"],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a"])
def test_every_way_of_writing_objects(content: str, encoding: str, name: str, tmp_path: Path) -> None:
    table = open_table(written(tmp_path / name, content, encoding))
    assert [row.values for row in table.rows()] == ROWS
    assert table.columns == ["text", "label"]
    assert (table.counts.rows, table.counts.refused) == (50, 0)
    chunks = list(table.chunks(chunk_rows=7))
    resumed = [row for chunk in table.chunks(chunks[2].end, chunk_rows=7) for row in chunk.rows]
    assert resumed == ROWS[21:]
    assert table.counts.seen == 50


def test_blank_lines_are_no_rows_and_columns_come_from_all_rows(tmp_path: Path) -> None:
    table = open_table(written(tmp_path / "a.jsonl", '{"text": "a"}\n\n  \n{"text": "b", "label": "x"}\n\n'))
    assert table.columns == ["text", "label"]
    assert [(row.number, row.line, row.values["label"]) for row in table.rows()] == [
        (1, 1, None),
        (2, 4, "x"),
    ]
    assert (table.counts.lines, table.counts.blank) == (5, 3)


def test_rows_that_cannot_be_read_stop_nothing(tmp_path: Path) -> None:
    lines = [
        '{"text": "fine", "deep": {"a": [1, null]}}',
        "{broken",
        '["a list"]',
        '{"text": "a", "text": "b"}',
        '{"text": "half \\ud83d"}',
        '{"text": NaN, "label": 1}',
        "[" * 100_000,
        '{"n": ' + "9" * 5000 + "}",
        '{"text": "x"} {"text": "y"}',
    ]
    table = open_table(written(tmp_path / "a.jsonl", "\n".join(lines)))
    rows = list(table.rows(needed=[0]))
    assert [row.problem for row in rows] == [
        None, "row is not JSON", "row is not a JSON object", "key 'text' is there twice", "text is not valid Unicode",
        None, "row is not JSON", "row is not JSON", "row is not JSON",
    ]  # fmt: skip
    assert (table.counts.rows, table.counts.refused) == (2, 7)


def test_elements_of_an_array_that_are_no_objects(tmp_path: Path) -> None:
    table = open_table(
        written(tmp_path / "a.json", '[1, {"text": "a"}, "x, y", [2, {"b": 1}], {"text": "b"},]')
    )
    assert [bool(row.problem) for row in table.rows()] == [True, False, True, True, False]


@pytest.mark.parametrize(
    "content", ['[{"text": "a"}, {"text": "b"', '[{"text": "a"}] more', '[{"text": "a}]']
)
def test_an_array_that_breaks_off_is_damaged(content: str, tmp_path: Path) -> None:
    with pytest.raises(TableDamaged):
        list(open_table(written(tmp_path / "a.json", content)).rows())


def test_what_is_no_json_is_told_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(TableRefused, match=messages.JSON_LINES_NEEDED) as refusal:
        open_table(written(tmp_path / "a.jsonl", "text,label\na,b\n"))
    assert "delimiter" not in str(refusal.value)


def test_a_row_beyond_the_bound_is_refused_alone(tmp_path: Path) -> None:
    long = json.dumps({"text": "x" * (MAX_ROW_BYTES + 300_000)})
    content = '{"text": "a"}\n' + long + '\n{"text": "b"}\n'
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(content.encode(), 1))
    table = open_table(tmp_path / "a.jsonl.gz")
    assert [row.problem for row in table.rows()] == [None, "row is longer than 16 MiB", None]
    assert table.counts.lines == 3
