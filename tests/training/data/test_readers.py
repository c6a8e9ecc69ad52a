"""CSV, TSV, Parquet and JSONL: columns found or named, bad rows counted with their numbers, refusals in words."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from tests import golden_messages as messages
from training.data import ColumnNotFound, DataConfig, DataRefused, SourceNotFound, load_data

ROWS = [(f"Text number {n} about things", "even" if n % 2 == 0 else "odd") for n in range(40)]


def csv_of(
    path: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] | None = ("text", "label")
) -> Path:
    lines = [",".join(f'"{cell}"' for cell in row) for row in ([header] if header else []) + rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_every_format_gives_the_same_texts(tmp_path: Path) -> None:
    csv = csv_of(tmp_path / "a.csv", ROWS)
    tsv = tmp_path / "a.tsv"
    tsv.write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS))
    jsonl = tmp_path / "a.jsonl"
    jsonl.write_text("".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS))
    parquet = tmp_path / "a.parquet"
    columns = {"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS]}
    pa.parquet.write_table(pa.table(columns), parquet)
    fingerprints = {
        load_data(DataConfig(source=str(path)), 0).part.fingerprint for path in (csv, tsv, jsonl, parquet)
    }
    assert len(fingerprints) == 1


def test_no_header_and_names_by_position(tmp_path: Path) -> None:
    """The layout of AG News' official files: class, title, description."""
    rows = [(str(1 + n % 2), f"Title {n}", f"Description of {n}") for n in range(10)]
    path = csv_of(tmp_path / "train.csv", rows, header=None)
    named = DataConfig(
        source=str(path),
        header=False,
        column_names=("label", "title", "description"),
        label_names={1: "world"},  # type: ignore[dict-item]
    )
    loaded = load_data(named, 0)
    assert loaded.texts[0] == "Title 0. Description of 0"
    assert loaded.labels[:2] == ["world", "2"]
    by_number = DataConfig(source=str(path), header=False, text_column=["2", "3"], label_column="1")  # type: ignore[arg-type]
    assert load_data(by_number, 0).texts == loaded.texts


def test_names_replace_a_header(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "a.csv", ROWS, header=("x", "y"))
    loaded = load_data(DataConfig(source=str(path), column_names=("text", "label")), 0)
    assert loaded.counts.read == 40


def test_common_column_names_are_found_in_any_case(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "a.csv", ROWS, header=("Review", "Sentiment"))
    assert load_data(DataConfig(source=str(path)), 0).texts[0] == ROWS[0][0]


def test_booleans_and_numbers_as_labels(tmp_path: Path) -> None:
    path = tmp_path / "tweets.parquet"
    table = pa.table({"text": ["a b c", "d e f", "g h i"], "inbound": [True, False, None]})
    pa.parquet.write_table(table, path)
    config = DataConfig(
        source=str(path),
        label_column="inbound",
        label_names={True: "customer"},
        max_refused=0.5,  # type: ignore[dict-item]
    )
    loaded = load_data(config, 0)
    assert loaded.labels == ["customer", "False"]
    assert loaded.counts.unlabelled == 1
    pa.parquet.write_table(pa.table({"text": ["a", "b"], "label": [1.0, 2.0]}), path)
    assert load_data(DataConfig(source=str(path)), 0).labels == ["1", "2"]


def test_bad_rows_of_a_csv_are_counted_with_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = [f"text {n} here,{'a' if n % 2 else 'b'}".encode() for n in range(1, 101)]
    lines[2] = b"one,two,three"  # row 3
    lines[9] = b"caf\xe9,a"  # row 10: Latin-1
    lines[19] = b'"   ",a'  # row 20
    lines[29] = b"text 30 here,"  # row 30
    lines[99] = b"too,many,cells"  # the last
    path.write_bytes(b"text,label\n" + b"\n".join(lines) + b"\n")
    counts = load_data(DataConfig(source=str(path)), 0).counts
    assert (counts.read, counts.empty, counts.unlabelled, counts.unreadable) == (100, 1, 1, 3)
    assert counts.examples == {"unreadable": [3, 10, 100], "empty": [20], "unlabelled": [30]}


def test_another_encoding_is_read_when_it_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("text,label\ncafé,a\nthé,b\n".encode("latin-1"))
    assert load_data(DataConfig(source=str(path), encoding="latin-1"), 0).texts == ["café", "thé"]
    with pytest.raises(DataRefused, match=messages.ROWS_UNREADABLE):
        load_data(DataConfig(source=str(path)), 0)


def test_line_breaks_and_separators_inside_quotes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('text;label\n"one\ntwo; three";a\nfour;b\n')
    loaded = load_data(DataConfig(source=str(path), delimiter=";"), 0)
    assert loaded.texts == ["one\ntwo; three", "four"]


def test_bad_lines_of_jsonl_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = [json.dumps({"text": f"text {n}", "label": str(n % 2)}) for n in range(60)]
    good[5], good[6] = '{"text": "half', '["a list"]'
    path.write_text("\n".join(good))
    counts = load_data(DataConfig(source=str(path)), 0).counts
    assert counts.examples == {"unreadable": [6, 7]}


def test_too_many_unusable_rows_are_refused_with_reasons(tmp_path: Path) -> None:
    rows = [*ROWS, *[("", "even")] * 3, ("a text", " ")]
    path = csv_of(tmp_path / "a.csv", rows)
    with pytest.raises(DataRefused) as refusal:
        load_data(DataConfig(source=str(path)), 0)
    message = str(refusal.value)
    assert messages.DATA_ROWS_UNUSABLE in message
    assert "max_refused=0.05" in message
    assert "3 empty (rows 41, 42, 43), 1 unlabelled (row 44)" in message
    assert len(load_data(DataConfig(source=str(path), max_refused=0.1), 0)) == 40


def test_copies_are_dropped_and_contradictions_too(tmp_path: Path) -> None:
    rows = [*ROWS, ROWS[3], ("Text  number 3 about things", "odd"), ("Same", "even"), ("Same", "odd")]
    loaded = load_data(DataConfig(source=str(csv_of(tmp_path / "a.csv", rows))), 0)
    assert (loaded.counts.exact_duplicates, loaded.counts.conflicting_labels) == (2, 2)
    assert list(loaded.part) == ROWS


def test_messages_tell_what_there_is(tmp_path: Path) -> None:
    path = csv_of(tmp_path / "a.csv", ROWS, header=("question", "answer"))
    with pytest.raises(ColumnNotFound, match=messages.TEXT_COLUMN_AMBIGUOUS):
        load_data(DataConfig(source=str(path)), 0)
    with pytest.raises(ColumnNotFound, match=messages.TEXT_COLUMN_MISSING):
        load_data(DataConfig(source=str(path), text_column="body", label_column="answer"), 0)
    with pytest.raises(SourceNotFound, match=messages.SOURCE_FILE_MISSING):
        load_data(DataConfig(source=str(tmp_path / "missing.csv")), 0)
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"not parquet at all")
    with pytest.raises(SourceNotFound, match=messages.SOURCE_NOT_PARQUET):
        load_data(DataConfig(source=str(broken)), 0)


@pytest.mark.parametrize("content", ["", "text,label\n", "text,label\nonly,one\n"])
def test_nothing_to_learn_from(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    with pytest.raises((DataRefused, SourceNotFound), match=r"a\.csv"):
        load_data(DataConfig(source=str(path)), 0)


def sms(strays: dict[int, str], count: int = 120) -> str:
    """Lines as of the SMS spam collection: label, tab, text; no quoting and no header."""
    return "".join(
        f"{'spam' if n % 3 else 'ham'}\t{strays.get(n, f'message {n} about parcel {n * 7}')}\n"
        for n in range(1, count + 1)
    )


@pytest.mark.parametrize("name", ["sms.tsv", "data.txt", "SMSSpamCollection"])
def test_stray_quotes_swallow_no_row(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(sms({11: '"lost since a week', 41: '"device never starts'}))
    loaded = load_data(DataConfig(source=str(path), header=False, column_names=("label", "text")), 0)
    assert (loaded.counts.read, len(loaded)) == (120, 120)
    assert '"lost since a week' in loaded.texts
    assert max(map(len, loaded.texts)) < 40
    assert loaded.counts.lines == {
        "lines": 120,
        "rows": 120,
        "refused": 0,
        "header": 0,
        "blank": 0,
        "continuation": 0,
    }
    assert "line 11, 41" in loaded.counts.notes[0]


def test_too_many_broken_quotes_are_refused_with_reasons(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    rows = [f'"text {n}, quoted",{"ab"[n % 2]}' for n in range(30)]
    path.write_text("text,label\n" + "\n".join([*rows, *['"one, "two, three",a'] * 3]))
    with pytest.raises(DataRefused, match=messages.QUOTES_UNREADABLE):
        load_data(DataConfig(source=str(path)), 0)


def test_an_existing_file_is_never_looked_for_on_the_hub(tmp_path: Path) -> None:
    book = tmp_path / "tickets.xlsx"
    book.write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(SourceNotFound, match=messages.TABLE_IS_EXCEL):
        load_data(DataConfig(source=str(book)), 0)
    unknown = tmp_path / "tickets.dat"
    unknown.write_text("text;label\n" + "".join(f"ticket {n};{'ab'[n % 2]}\n" for n in range(9)))
    assert len(load_data(DataConfig(source=str(unknown)), 0)) == 9


def test_hints_for_json_lines_name_no_setting_of_csv(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"body": "hello", "team": "a"}\n{"body": "bye", "team": "b"}\n')
    with pytest.raises(ColumnNotFound) as refusal:
        load_data(DataConfig(source=str(path), text_column="message", label_column="team"), 0)
    assert "data.header" not in str(refusal.value)


@pytest.mark.parametrize(
    ("encoding", "given"), [("utf-16", "utf-8"), ("utf-8-sig", "utf-8"), ("cp1252", "cp1252")]
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_headers_with_umlauts(encoding: str, given: str, line_end: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = ["Kategorie;Größe;Käufertext", *[f"{'ab'[n % 2]};5;für {n}" for n in range(10)]]
    path.write_bytes(line_end.join(lines).encode(encoding))
    config = DataConfig(source=str(path), encoding=given, text_column="Käufertext", label_column="Kategorie")
    assert load_data(config, 0).texts[0] == "für 0"


def test_settings_of_files_are_checked() -> None:
    assert DataConfig(delimiter="tab").delimiter == DataConfig(delimiter="\\t").delimiter == "\t"
    with pytest.raises(ValueError, match=messages.DELIMITER_TOO_LONG):
        DataConfig(delimiter="::")
