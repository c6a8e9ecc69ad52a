"""Each format comes back whole: every input column as it was, and what the model itself says of each text."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.batch_scoring.errors import InputRefused, InputUnreadable
from service.batch_scoring.job import Job, run_job
from service.batch_scoring.model import ScoringModel
from service.batch_scoring.tables import ReadOptions
from tests import golden_messages as messages
from tests.support.bundles import bbc_part

ADDED = ["label", "score", "tokens", "truncated", "error"]
SMALL = ReadOptions(chunk_rows=3)
ODD = [
    'He said "no"; then, after a pause:\nyes.',
    "line one\r\nline two",
    "a NUL \x00 inside the market report",
    "😀 the match ended 3–1 👩‍👩‍👧",
    "  a text with blanks around it  ",
    "semi;colon,comma\ttab|bar",
    "\u2028 a line separator, and a form feed \x0c",
]


def read_csv(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def write_csv(path: Path, rows: list[list[str]], *, delimiter: str = ",", encoding: str = "utf-8") -> Path:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


def texts() -> list[str]:
    return [text[:400] for text in bbc_part(2, 300)[0]] + ODD


def said(model: ScoringModel, asked: list[str]) -> list[tuple[str, float, int]]:
    found = model.classifier.classify(asked)
    labels = [model.classifier.labels[i] for i in found.probabilities.argmax(axis=1)]
    scores = [round(float(p), 6) for p in found.probabilities.max(axis=1)]
    return list(zip(labels, scores, found.tokens, strict=True))


@pytest.mark.parametrize(
    ("extension", "delimiter"), [("csv", ","), ("csv", ";"), ("csv", "|"), ("tsv", "\t")]
)
def test_csv_keeps_every_field_and_adds_what_the_model_says(
    extension: str, delimiter: str, tmp_path: Path, model: ScoringModel
) -> None:
    source, target = tmp_path / f"in.{extension}", tmp_path / f"out.{extension}"
    write_csv(
        source,
        [["id", "text", "note"], *[[f"{i:04d}", text, "ä,b"] for i, text in enumerate(texts())]],
        delimiter=delimiter,
    )

    done = run_job(Job(source, target, SMALL), model)

    rows = read_csv(target, delimiter)
    assert done.rows == len(texts())
    assert list(rows[0]) == ["id", "text", "note", *ADDED]
    assert [(r["id"], r["text"], r["note"]) for r in rows] == [
        (f"{i:04d}", text, "ä,b") for i, text in enumerate(texts())
    ]
    assert [(r["label"], float(r["score"]), int(r["tokens"])) for r in rows] == said(model, texts())
    assert {r["truncated"] for r in rows} == {"false"}
    assert {r["error"] for r in rows} == {""}
    assert not (tmp_path / f"out.{extension}.parts").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"in.{extension}", f"out.{extension}"]


def test_csv_with_a_byte_order_mark_and_empty_lines(tmp_path: Path, model: ScoringModel) -> None:
    source = tmp_path / "in.csv"
    source.write_bytes("\ufefftext,id\r\nShares fell,1\r\n\r\nGoal in the last minute,2\r\n".encode())

    run_job(Job(source, tmp_path / "out.csv"), model)

    rows = read_csv(tmp_path / "out.csv")
    assert [(row["text"], row["id"]) for row in rows] == [
        ("Shares fell", "1"),
        ("Goal in the last minute", "2"),
    ]


def test_bytes_that_are_not_utf8_come_back_unchanged(tmp_path: Path, model: ScoringModel) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_bytes(b"text,name\ncaf\xe9 prices rise,x\nplain,na\xefve\n")

    run_job(Job(source, target), model)

    first, second = target.read_bytes().splitlines()[1:]
    assert first.startswith(b"caf\xe9 prices rise,x,,,,,")
    assert first.endswith(b'"not utf-8: probably cp1252, see --encoding cp1252"')
    assert second.startswith(b"plain,na\xefve,")
    assert second.endswith(b",")


def test_another_encoding_is_read_when_it_is_named(tmp_path: Path, model: ScoringModel) -> None:
    source = write_csv(tmp_path / "in.csv", [["text"], ["café prices rise €"]], encoding="cp1252")

    run_job(Job(source, tmp_path / "out.csv", ReadOptions(encoding="cp1252")), model)

    assert read_csv(tmp_path / "out.csv")[0]["text"] == "café prices rise €"


@pytest.mark.parametrize("suffix", ["csv.gz", "jsonl.gz"])
def test_gzipped_files(suffix: str, tmp_path: Path, model: ScoringModel) -> None:
    source, target = tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"
    lines = (
        ["text,id", *[f'"{t}",{i}' for i, t in enumerate(["Shares fell", "A goal", "An album", "A vote"])]]
        if suffix == "csv.gz"
        else [json.dumps({"text": t}) for t in ["Shares fell", "A goal", "An album", "A vote"]]
    )
    source.write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))

    run_job(Job(source, target, SMALL), model)

    with gzip.open(target, "rt", encoding="utf-8") as file:
        written = file.read().splitlines()
    assert len(written) == len(lines)
    assert all(label in written[-1] for label in ["A vote", said(model, ["A vote"])[0][0]])


def test_jsonl_keeps_rows_of_different_shapes(tmp_path: Path, model: ScoringModel) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"text": text, "n": i, "deep": {"a": [1, None]}} for i, text in enumerate(texts())]
    rows.insert(1, {"text": "no other key"})
    source.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8")

    run_job(Job(source, target, SMALL, scores=True), model)

    out = [json.loads(line) for line in target.read_text(encoding="utf-8").split("\n")[:-1]]
    probabilities = [f"p_{label}" for label in model.classifier.labels]
    assert [{k: v for k, v in row.items() if k not in [*ADDED, *probabilities]} for row in out] == rows
    assert [(r["label"], r["score"], r["tokens"]) for r in out] == said(model, [r["text"] for r in rows])
    assert all(sum(row[p] for p in probabilities) == pytest.approx(1, abs=1e-5) for row in out)


def test_parquet_keeps_types_and_metadata(tmp_path: Path, model: ScoringModel) -> None:
    source, target = tmp_path / "in.parquet", tmp_path / "out.parquet"
    n = len(texts())
    table = pa.table(
        {
            "when": pa.array([datetime(2026, 1, 1)] * n, pa.timestamp("ns")),
            "text": pa.array(texts(), pa.large_string()),
            "kind": pa.array(["a", None] * n).slice(0, n).dictionary_encode(),
            "list": pa.array([[1, 2]] * n, pa.list_(pa.int16())),
            "void": pa.nulls(n),
        }
    ).replace_schema_metadata({"who": "tests"})
    pq.write_table(table, source, row_group_size=5)

    run_job(Job(source, target, SMALL, scores=True), model)

    out = pq.read_table(target)
    assert out.select(table.column_names).to_pylist() == table.to_pylist()
    assert [out.schema.field(name).type for name in table.column_names] == list(table.schema.types)
    assert out.schema.metadata[b"who"] == b"tests"
    assert out.schema.field("score").type == pa.float32()
    assert out.column("label").to_pylist() == [label for label, _, _ in said(model, texts())]
    assert out.column("error").null_count == n


def test_files_without_a_row_give_files_without_a_row(tmp_path: Path, model: ScoringModel) -> None:
    (tmp_path / "in.csv").write_text("text,id\n", encoding="utf-8")
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "in.parquet")

    for suffix in ("csv", "parquet"):
        assert run_job(Job(tmp_path / f"in.{suffix}", tmp_path / f"out.{suffix}"), model).rows == 0

    assert (tmp_path / "out.csv").read_text(
        encoding="utf-8"
    ) == "text,id,label,score,tokens,truncated,error\n"
    assert pq.read_table(tmp_path / "out.parquet").column_names == ["text", *ADDED]


def test_rows_that_cannot_be_scored_carry_their_error(tmp_path: Path, model: ScoringModel) -> None:
    source, target = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    lines = [
        '{"text": "Shares fell"}',
        '{"text": ""}',
        '{"text": " \\n"}',
        '{"id": 1}',
        '{"text": 5}',
        "{broken",
    ]
    lines += ['["list"]', '{"text": "half a pair \\ud83d"}', '{"text": null}']
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")

    done = run_job(Job(source, target, SMALL), model)

    out = [json.loads(line) for line in target.read_text(encoding="utf-8").splitlines()]
    assert [row["error"] for row in out] == [
        None, "no text", "no text", "no text", "text is not a string", "row is not JSON",
        "row is not a JSON object", "text is not valid Unicode", "no text",
    ]  # fmt: skip
    assert [row["label"] is None for row in out] == [False] + [True] * 8
    assert out[5]["unread"] == "{broken"
    assert done.problems["no text"] == 4
    assert sum(done.problems.values()) == 8


def test_a_csv_row_of_another_width_carries_its_error(tmp_path: Path, model: ScoringModel) -> None:
    source = tmp_path / "in.csv"
    source.write_text("id,text\n1,Shares fell\n2,a goal, and another\n3\n", encoding="utf-8")

    done = run_job(Job(source, tmp_path / "out.csv"), model)

    rows = read_csv(tmp_path / "out.csv")
    assert done.lines == {"lines": 4, "rows": 1, "refused": 2, "header": 1, "blank": 0, "continuation": 0}
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert rows[1]["text"] == "a goal, and another", "what a refused row holds is kept"
    assert [row["error"] for row in rows] == [
        "", "row has 3 fields, the header has 2", "row has 1 field, the header has 2",
    ]  # fmt: skip


def test_a_missing_column_is_refused_with_the_nearest(tmp_path: Path, model: ScoringModel) -> None:
    source = write_csv(tmp_path / "in.csv", [["id", "Text", "body"], ["1", "a", "b"]])

    with pytest.raises(InputRefused, match=messages.TEXT_COLUMN_MISSPELT):
        run_job(Job(source, tmp_path / "out.csv"), model)
    assert not (tmp_path / "out.csv").exists()


def test_a_column_of_the_same_name_needs_a_prefix(tmp_path: Path, model: ScoringModel) -> None:
    source = write_csv(tmp_path / "in.csv", [["text", "label"], ["Shares fell", "true"]])

    with pytest.raises(InputRefused, match=messages.COLUMN_TAKEN):
        run_job(Job(source, tmp_path / "out.csv"), model)
    run_job(Job(source, tmp_path / "out.csv", prefix="predicted_"), model)

    row = read_csv(tmp_path / "out.csv")[0]
    assert row["label"] == "true"
    assert row["predicted_label"] == said(model, ["Shares fell"])[0][0]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.csv", b"", "is empty"),
        ("in.csv", b"\n \n", "has no rows"),
        ("in.csv", "Größe;text\n5;a\n".encode("cp1252"), "--encoding cp1252"),
        ("in.csv", b"text,text\na,b\n", "2 columns called 'text'"),
        ("in.jsonl", b"", "is empty"),
        ("in.jsonl", b"text,label\n", "JSON lines are needed"),
        ("in.csv.gz", gzip.compress(b"text\n" + b"words and words\n" * 4000)[:-20], "not a whole gzip file"),
        ("in.parquet", b"no parquet", "not a Parquet file"),
        ("in.xlsx", b"PK\x03\x04", "an Excel workbook"),
        ("in.dat", b"\x00\x01\x02" * 100, "holds no text"),
        ("in.parquet.gz", b"", "not a Parquet file"),
    ],
)
def test_unusable_files_are_refused_in_words(
    name: str, content: bytes, message: str, tmp_path: Path, model: ScoringModel
) -> None:
    source = tmp_path / name
    source.write_bytes(content)

    with pytest.raises((InputRefused, InputUnreadable), match=message):
        run_job(Job(source, tmp_path / name.replace("in", "out", 1)), model)
    assert not (tmp_path / name.replace("in", "out", 1)).exists()


def test_a_parquet_column_of_numbers_is_refused(tmp_path: Path, model: ScoringModel) -> None:
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "in.parquet")

    with pytest.raises(InputRefused, match=messages.TEXT_COLUMN_NOT_TEXT):
        run_job(Job(tmp_path / "in.parquet", tmp_path / "out.parquet"), model)


def test_the_output_has_the_format_of_the_input(tmp_path: Path, model: ScoringModel) -> None:
    source = write_csv(tmp_path / "in.csv", [["text"], ["a"]])

    with pytest.raises(InputRefused, match=messages.FORMAT_WOULD_CHANGE):
        run_job(Job(source, tmp_path / "out.parquet"), model)


def test_every_line_is_accounted_for(tmp_path: Path, model: ScoringModel) -> None:
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text('sep=;\nid;text\n1;Shares fell\n\n2;"two\nlines"\n3;\n4\n;\n', encoding="utf-8")

    done = run_job(Job(source, target, SMALL), model)

    assert done.lines == {"lines": 9, "rows": 3, "refused": 1, "header": 2, "blank": 2, "continuation": 1}
    assert (done.rows, sum(done.problems.values())) == (4, 2)


def test_stray_quotes_swallow_no_row(tmp_path: Path, model: ScoringModel) -> None:
    texts = [f"message {i}" for i in range(30)]
    texts[10], texts[20] = '"Shares fell', '"A goal'
    source = tmp_path / "in.tsv"
    source.write_text("id\ttext\n" + "".join(f"{i}\t{t}\n" for i, t in enumerate(texts)), encoding="utf-8")

    done = run_job(Job(source, tmp_path / "out.tsv", SMALL), model)

    assert [row["text"] for row in read_csv(tmp_path / "out.tsv", "\t")] == texts
    assert "characters" in done.notes[0]


@pytest.mark.parametrize(
    ("name", "target", "content"),
    [
        ("in.json", "out.json", '[{"text": "Shares fell"},\n {"text": "A goal"}]'),
        ("in.json", "out.jsonl", '{\n "text": "Shares fell"\n}\n{\n "text": "A goal"}'),
        ("in.ndjson", "out.ndjson", '\ufeff{"text": "Shares fell"}\r\n\r\n{"text": "A goal"}'),
        ("in", "out", "text\nShares fell\nA goal\n"),
        ("in.txt", "out.txt", "text\rShares fell\rA goal\r"),
    ],
)
def test_other_suffixes(name: str, target: str, content: str, tmp_path: Path, model: ScoringModel) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")

    done = run_job(Job(tmp_path / name, tmp_path / target, ReadOptions(chunk_rows=1)), model)

    written = (tmp_path / target).read_text(encoding="utf-8")
    assert done.rows == 2
    if target == "out.json":
        assert [row["text"] for row in json.loads(written)] == ["Shares fell", "A goal"]
    assert written.index("Shares fell") < written.index("A goal")


def test_utf16_and_a_file_without_header(tmp_path: Path, model: ScoringModel) -> None:
    (tmp_path / "in.csv").write_text("1;Börse fällt\n2;Tor\n", encoding="utf-16")
    reading = ReadOptions("body", header=False, column_names=("id", "body"))

    run_job(Job(tmp_path / "in.csv", tmp_path / "out.csv", reading), model)

    assert [row["body"] for row in read_csv(tmp_path / "out.csv", ";")] == ["Börse fällt", "Tor"]
