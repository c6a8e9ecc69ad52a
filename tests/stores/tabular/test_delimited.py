"""Delimited text: every line is accounted for, and no stray quote swallows a row."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from stores.tabular import Row, Table, TableOptions, TableRefused, open_table
from stores.tabular.delimited import DelimitedTable
from tests import golden_messages

TOPICS = ("delivery", "billing")


def written(path: Path, content: str | bytes, encoding: str = "utf-8") -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def read(path: Path, **options: object) -> tuple[Table, list[Row]]:
    table = open_table(path, TableOptions(**options))  # type: ignore[arg-type]
    rows = list(table.rows())
    counts = table.counts
    assert counts.lines == counts.rows + counts.refused + counts.header + counts.blank + counts.continuation
    assert counts.seen == len(rows) == sum(1 for row in rows)
    assert [row.number for row in rows] == list(range(1, len(rows) + 1))
    return table, rows


def values(rows: list[Row], column: str = "text") -> list[object]:
    return [row.values[column] for row in rows]


def messages(delimiter: str, strays: dict[int, str], count: int = 60) -> str:
    """Lines `label DELIMITER text`; `strays` replaces the text of some, by the number of the line."""
    texts = {n: strays.get(n, f"message number {n} about a parcel") for n in range(1, count + 1)}
    return "".join(f"{TOPICS[n % 2]}{delimiter}{text}\n" for n, text in texts.items())


# Stray quotes


@pytest.mark.parametrize("delimiter", ["\t", ",", ";"])
def test_stray_quotes_in_a_file_without_quoting_swallow_nothing(delimiter: str, tmp_path: Path) -> None:
    strays = {11: '"lost since a week', 41: '"device never starts'}
    path = written(tmp_path / "a.txt", messages(delimiter, strays))
    table, rows = read(path, header=False)
    assert table.counts.rows == 60
    assert values(rows, "2")[10] == '"lost since a week'
    assert values(rows, "1") == [TOPICS[n % 2] for n in range(1, 61)]
    assert "line 11, 41" in table.notes()[0]


def test_a_quote_that_is_closed_rows_later_swallows_nothing(tmp_path: Path) -> None:
    """The second quote ends its row, so that every rule of quoting is kept but the rows' own rhythm."""
    path = written(
        tmp_path / "a.tsv", messages("\t", {11: '"lost since a week', 41: 'that is "all"', 43: 'no"'})
    )
    _, rows = read(path, header=False)
    assert len(rows) == 60
    assert values(rows, "2")[40] == 'that is "all"'


@pytest.mark.parametrize("quote", ["none", "double", "auto"])
def test_stray_quotes_beside_real_quoting(quote: str, tmp_path: Path) -> None:
    """Some fields are quoted, so quotes are quotes: the line with the stray one alone is refused."""
    lines = [f'{n},{TOPICS[n % 2]},"text {n}, in quotes"' for n in range(50)]
    lines[10] = "10,delivery,\"it's lost, again"
    path = written(tmp_path / "a.csv", "id,topic,text\n" + "\n".join(lines) + "\n")
    table, rows = read(path, quote=quote)
    assert len(rows) == 50
    if quote == "none":
        assert table.counts.refused == 50
    else:
        assert [row.number for row in rows if row.problem] == [11]
        assert golden_messages.DELIMITED_TEXT_AFTER_QUOTE in (rows[10].problem or "")
        assert rows[10].line == 12
        assert rows[11].values["text"] == "text 11, in quotes"


def test_text_after_a_closing_quote_is_kept_in_a_whole_row(tmp_path: Path) -> None:
    lines = [f'"text {n}, quoted",a' for n in range(20)] + ['"No" is no answer,b']
    table, rows = read(written(tmp_path / "a.csv", "text,label\n" + "\n".join(lines)))
    assert (rows[-1].values, rows[-1].problem) == ({"text": '"No" is no answer', "label": "b"}, None)
    assert any(golden_messages.QUOTES_KEPT_AS_CHARACTERS in note and "21" in note for note in table.notes())


def test_line_breaks_and_delimiters_in_quotes_are_not_mistaken(tmp_path: Path) -> None:
    """Texts over several lines, some of which have as many commas as a row."""
    texts = [f"Dear all, {n}\nthanks, and\n\nbye, {n}" for n in range(40)]
    content = "text,label\n" + "".join(f'"{text}",{TOPICS[n % 2]}\n' for n, text in enumerate(texts))
    table, rows = read(written(tmp_path / "a.csv", content))
    assert values(rows) == texts
    assert (table.counts.rows, table.counts.continuation) == (40, 120)
    assert [row.line for row in rows[:3]] == [2, 6, 10]


def test_backslashes_before_quotes(tmp_path: Path) -> None:
    content = "id,text\n" + "".join(f'{n},"say \\"yes, or no\\" now \\\\ {n}"\n' for n in range(5))
    table, rows = read(written(tmp_path / "a.csv", content))
    assert values(rows) == [f'say "yes, or no" now \\ {n}' for n in range(5)]
    assert table.counts.refused == 0
    _, refused = read(tmp_path / "a.csv", quote="double")
    assert all(row.problem for row in refused)


def test_a_quote_that_is_never_closed_costs_its_line_only(tmp_path: Path) -> None:
    lines = [f'{n},"text, {n}"' for n in range(100)]
    lines[50] = '50,"never closed, so'
    table, rows = read(written(tmp_path / "a.csv", "id,text\n" + "\n".join(lines[:51]) + "\nx,y" * 30))
    assert [row.number for row in rows if row.problem] == [51]
    assert table.counts.seen == 81


# Headers, delimiters, widths


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ""])
def test_the_delimiter_is_found(delimiter: str, suffix: str, tmp_path: Path) -> None:
    rows = [f"{n}{delimiter}a text with words {n}{delimiter}x" for n in range(9)]
    path = written(tmp_path / f"table{suffix}", "\n".join([f"id{delimiter}text{delimiter}label", *rows]))
    table, _ = read(path)
    assert table.columns == ["id", "text", "label"]
    assert table.counts.rows == 9


def test_a_delimiter_that_only_the_header_holds_is_none(tmp_path: Path) -> None:
    table, _ = read(written(tmp_path / "a.csv", "id,text; raw; full,label\n1,t,a\n2,t,b\n"))
    assert table.columns == ["id", "text; raw; full", "label"]


@pytest.mark.parametrize("line", ["sep=;\n", "SEP=;\r\n", '"sep=;"\n'])
def test_the_line_that_names_the_delimiter_is_no_row(line: str, tmp_path: Path) -> None:
    table, rows = read(written(tmp_path / "a.csv", f"{line}id;text\n1;one, two, three\n"))
    assert values(rows) == ["one, two, three"]
    assert (table.counts.header, rows[0].line) == (2, 3)


def test_names_are_trimmed_and_given_faithfully(tmp_path: Path) -> None:
    table, rows = read(written(tmp_path / "a.csv", "\ufeffv1, v2,,\nspam, hello,,\nham, bye, rest,\n"))
    assert table.columns == ["v1", "v2", "", ""]
    assert rows[0].values == {"v1": "spam", "v2": " hello", "": "", "#4": ""}
    assert any(golden_messages.COLUMN_UNNAMED in note for note in table.notes())
    twice, rows = read(written(tmp_path / "b.csv", "text,label,label\nhello,a,b\n"))
    assert twice.columns == ["text", "label", "label"]
    assert rows[0].values == {"text": "hello", "label": "a", "label#3": "b"}


def test_rows_of_another_width(tmp_path: Path) -> None:
    content = "id,text\n1,fine\n2,one, two\n3\n4,surplus,,\n,\n\n;\n"
    table, rows = read(written(tmp_path / "a.csv", content))
    assert [row.problem for row in rows] == [
        None,
        "row has 3 fields, the header has 2",
        "row has 1 field, the header has 2",
        None,
        "row has 1 field, the header has 2",
    ]
    assert rows[1].values["text"] == "one, two", "what a refused row holds is kept"
    assert rows[3].values == {"id": "4", "text": "surplus"}
    assert table.counts.blank == 2


def test_blanks_before_quotes(tmp_path: Path) -> None:
    _, rows = read(written(tmp_path / "a.csv", 'id, text\n1, "one, two"\n2, "three" \n3, four\n'))
    assert values(rows) == ["one, two", "three", " four"]


def test_no_header_and_names(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "1,hello\n2,bye\n")
    assert read(path, header=False)[0].columns == ["1", "2"]
    table, rows = read(path, header=False, column_names=("id", "text"))
    assert (table.columns, len(rows)) == (["id", "text"], 2)
    with pytest.raises(TableRefused, match=golden_messages.COLUMN_NAMES_MISCOUNTED):
        read(path, header=False, column_names=("a", "b", "c"))


# Encodings and line ends


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "cp037"]
)
def test_every_encoding_and_line_end(encoding: str, line_end: str, tmp_path: Path) -> None:
    lines = ["Größe;text", *[f'{n};"über {n}, süß"' for n in range(20)]]
    path = written(tmp_path / "a.csv", line_end.join(lines) + line_end, encoding)
    given = encoding if encoding in ("cp1252", "cp037") else "utf-8"
    table, rows = read(path, encoding=given)
    assert table.columns == ["Größe", "text"]
    assert values(rows) == [f"über {n}, süß" for n in range(20)]
    assert table.counts.lines == 21


def test_mixed_line_ends(tmp_path: Path) -> None:
    table, rows = read(written(tmp_path / "a.csv", "id,text\r\n1,one\r2,two\n3,three\rwith a return\n4,four"))
    assert values(rows) == ["one", "two", "three\rwith a return", "four"]
    assert table.counts.lines == 5


def test_a_header_in_another_encoding_names_the_likely_one(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "Käufertext;Größe\nfür;5\n", "cp1252")
    with pytest.raises(TableRefused, match=golden_messages.ENCODING_OPTION):
        open_table(path)
    with pytest.raises(TableRefused, match=r"data\.encoding=cp1252"):
        open_table(path, TableOptions(setting="data.{}={}"))


def test_undecodable_bytes_are_refused_in_used_columns(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", b"id,text\n1,caf\xe9\n\xe9,fine\n3,fine\n")
    table = open_table(path)
    assert [bool(row.problem) for row in table.rows(needed=[1])] == [True, False, False]
    assert "cp1252" in str(next(row.problem for row in table.rows(needed=[1])))
    assert [row.problem for row in table.rows()] == [None] * 3


def test_characters_that_trip_others(tmp_path: Path) -> None:
    odd = [
        "a NUL \x00 inside",
        "👩‍👩‍👧 and \u200b",
        "\u2028 and \x85 and \x0b and \x0c",
        "x" * 2_000_000,
        "nan",
    ]
    _, rows = read(written(tmp_path / "a.csv", "text,n\n" + "".join(f"{text},1\n" for text in odd)))
    assert values(rows) == odd


def test_half_a_character_at_the_end_of_utf16(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "id,text\n1,one\n2,two".encode("utf-16")[:-1])
    table = open_table(path)
    assert [bool(row.problem) for row in table.rows(needed=[1])] == [False, True]


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    content = gzip.compress(b"id,text\n1,one\n")
    for name in ("a.csv.gz", "a.csv", "a"):
        assert values(read(written(tmp_path / name, content))[1]) == ["one"]
    assert values(read(written(tmp_path / "b.csv.gz", b"id,text\n1,one\n"))[1]) == ["one"]


# Positions


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_reading_continues_at_any_position(suffix: str, encoding: str, tmp_path: Path) -> None:
    rows = [f'{n},"text {n}\nwith ""lines"", ü"' if n % 3 else f"{n},plain\n" for n in range(500)]
    rows[100] = "100,one,two"
    content = ("id,text\n" + "\n".join(rows) + "\n\n").encode(encoding)
    path = written(tmp_path / f"a{suffix}", gzip.compress(content) if suffix.endswith("gz") else content)
    whole = open_table(path)
    chunks = list(whole.chunks(chunk_rows=37))
    assert isinstance(whole, DelimitedTable)
    for index, chunk in enumerate(chunks):
        resumed = open_table(path)
        rest = list(resumed.chunks(type(chunk.end).from_dict(chunk.end.as_dict()), chunk_rows=37))
        assert [each.rows for each in rest] == [each.rows for each in chunks[index + 1 :]]
        assert [each.first for each in rest] == [each.first for each in chunks[index + 1 :]]
        assert resumed.counts == whole.counts
