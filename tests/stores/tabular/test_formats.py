"""Which files are read, and what is said of the others."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

from stores.tabular import (
    TableDamaged,
    TableFormatUnknown,
    TableNotFound,
    TableOptions,
    TableRefused,
    looks_like_table_name,
    open_table,
)
from tests import golden_messages as messages


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"BZh91AY", "bzip2"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "Excel workbook"),
        (b"PK\x03\x04", "a zip archive"),
        (b"SQLite format 3\x00", "SQLite"),
        (b"\x00\x01\x02\x03" * 200, "holds no text"),
        (b"\x93\x00\x00\x10" * 200, "holds no text"),
    ],
)
def test_a_file_of_another_format_is_called_by_its_name(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(content)
    with pytest.raises(TableFormatUnknown, match=said) as refusal:
        open_table(path)
    assert messages.FORMATS_READ in str(refusal.value)


def test_a_workbook_is_known_whatever_its_name(tmp_path: Path) -> None:
    for name in ("book.xlsx", "book.csv", "book"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("xl/workbook.xml", "<workbook/>")
        with pytest.raises(TableFormatUnknown, match=messages.TABLE_IS_EXCEL):
            open_table(tmp_path / name)


def test_what_is_not_there_or_may_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(TableNotFound, match=messages.TABLE_MISSING):
        open_table(tmp_path / "none.csv")
    with pytest.raises(TableNotFound, match=messages.TABLE_IS_FOLDER):
        open_table(tmp_path)
    with pytest.raises(TableNotFound, match=messages.TABLE_UNREADABLE):
        open_table(Path("a\x00b.csv"))
    (tmp_path / "empty.csv").touch()
    with pytest.raises(TableRefused, match=messages.TABLE_EMPTY):
        open_table(tmp_path / "empty.csv")
    if os.geteuid():
        (tmp_path / "secret.csv").touch(mode=0)
        with pytest.raises(TableNotFound, match=messages.TABLE_UNREADABLE):
            open_table(tmp_path / "secret.csv")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (TableOptions(encoding="klingon"), "no text encoding 'klingon'"),
        (TableOptions(encoding="base64"), "no text encoding 'base64'"),
        (TableOptions(delimiter="::"), "not one character"),
        (TableOptions(delimiter='"'), "not one character"),
        (TableOptions(quote="single"), "auto, double, backslash, none"),
    ],
)
def test_options_that_do_not_exist(options: TableOptions, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b\n")
    with pytest.raises(TableRefused, match=said):
        open_table(tmp_path / "a.csv", options)


def test_names_that_can_only_be_files() -> None:
    assert all(map(looks_like_table_name, ["a.csv", "b/c.JSONL.gz", "d.xlsx", "e.pq", "f.tsv.gz"]))
    assert not any(map(looks_like_table_name, ["ag_news", "user/data.set", "dair-ai/emotion"]))


def test_a_broken_gzip_is_damaged(tmp_path: Path) -> None:
    import gzip

    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(os.urandom(100_000).hex().encode())[:-50])
    with pytest.raises(TableDamaged, match=messages.GZIP_INCOMPLETE):
        list(open_table(tmp_path / "a.csv.gz").rows())
