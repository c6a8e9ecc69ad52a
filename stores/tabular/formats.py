"""Which format a file has: by its suffix, else by its content."""

from __future__ import annotations

import zipfile
from pathlib import Path

from stores.tabular.delimited import DelimitedTable
from stores.tabular.encoding import find_encoding
from stores.tabular.errors import TableDamaged, TableFormatUnknown, TableNotFound, TableRefused
from stores.tabular.json_table import open_json
from stores.tabular.lines import TextFile, readable
from stores.tabular.options import TableOptions
from stores.tabular.parquet import ParquetTable
from stores.tabular.table import Table

_DELIMITED = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
_JSON = {".jsonl": "JSON lines", ".ndjson": "JSON lines", ".json": "JSON"}
_PARQUET = (".parquet", ".pq")
SUFFIXES = (*_DELIMITED, *_JSON, *_PARQUET)
"""Of the files that are read; those of text may be followed by `.gz`."""
FAMILIES = {
    **dict.fromkeys(_DELIMITED, "CSV"),
    **dict.fromkeys(_JSON, "JSON"),
    **dict.fromkeys(_PARQUET, "Parquet"),
}
"""Suffix → what a file with it is written as."""
_WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")
_PARQUET_MAGIC = b"PAR1"
_OTHERS = (
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook or another Office document: save it as CSV (UTF-8)"),
    (b"PK\x03\x04", "a zip archive: unpack it first"),
    (b"BZh", "compressed with bzip2: unpack it first"),
    (b"\xfd7zXZ", "compressed with xz: unpack it first"),
    (b"\x28\xb5\x2f\xfd", "compressed with Zstandard: unpack it first"),
    (b"7z\xbc\xaf", "a 7-Zip archive: unpack it first"),
    (b"ARROW1", "an Arrow or Feather file: write it as Parquet"),
    (b"ORC", "an ORC file: write it as Parquet"),
    (b"Obj\x01", "an Avro file: write it as Parquet"),
    (b"SQLite format 3", "an SQLite database: export its table as CSV"),
    (b"%PDF", "a PDF document"),
    (b"\x89HDF", "an HDF5 file: write it as Parquet"),
)
_LOOKED_AT = 4096
_MOST_ZEROS = 0.1


def known_formats() -> str:
    """The formats that are read, in words."""
    text = "CSV (.csv), TSV (.tsv, .txt), JSON lines (.jsonl, .ndjson), JSON (.json)"
    return f"{text}, each also .gz, and Parquet (.parquet, .pq)"


def suffix_of(path: Path) -> str:
    """The suffix of the format, in lower case and without `.gz`."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def looks_like_table_name(name: str) -> bool:
    """Whether a name can only mean a file: by the suffix of a format that is read, or that people expect to be."""
    return suffix_of(Path(name)) in (*SUFFIXES, *_WORKBOOKS) or name.lower().endswith((".gz", ".zip"))


def open_table(path: Path, options: TableOptions | None = None) -> Table:
    """The table in a file.

    Args:
        path: the file; without a known suffix its content decides what it is.
        options: None: everything is found from the content.

    Raises:
        TableNotFound: it is not there, is a folder, or may not be read.
        TableFormatUnknown: it is none of the formats that are read.
        TableRefused: it cannot be read with these options, or is empty.
        TableDamaged: it breaks off, or is not what its suffix says.
    """
    options = (options or TableOptions()).checked()
    magic = _first_bytes(path)
    suffix = suffix_of(path)
    if magic.startswith(_PARQUET_MAGIC) or suffix in _PARQUET:
        return ParquetTable(path)
    if not magic:
        raise TableRefused(f"{path} is empty")
    for begin, what in _OTHERS:
        if magic.startswith(begin):
            raise TableFormatUnknown(f"{path} is {_workbook(path) or what}. Read are {known_formats()}")
    try:
        return _open_text(path, suffix, options)
    except OSError as error:
        raise TableDamaged(f"{path} cannot be read: {error}") from None


def _open_text(path: Path, suffix: str, options: TableOptions) -> Table:
    if suffix in _DELIMITED:
        return DelimitedTable(path, options, _DELIMITED[suffix])
    if suffix in _JSON:
        return open_json(path, options, _JSON[suffix])
    with TextFile(path, options).open_raw() as (_, stream), readable(path):
        head = stream.read(_LOOKED_AT)
    encoding = find_encoding(head, options.encoding)
    if encoding.name == "utf-8" and head.count(0) > _MOST_ZEROS * len(head):
        raise TableFormatUnknown(f"{path} is a file, and holds no text. Read are {known_formats()}")
    begin = head[encoding.mark :].decode(encoding.name, "replace").lstrip()
    if begin.startswith("{") or (begin.startswith("[") and begin[1:].lstrip().startswith("{")):
        return open_json(path, options, "JSON lines")
    if suffix in _WORKBOOKS:
        raise TableFormatUnknown(
            f"{path} has the name of a workbook, and is none. Read are {known_formats()}"
        )
    return DelimitedTable(path, options, "\t")


def _first_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise TableNotFound(f"{path} is a folder: name a file")
    try:
        with path.open("rb") as file:
            return file.read(32)
    except FileNotFoundError:
        raise TableNotFound(f"there is no file {path}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise TableNotFound(f"{path} cannot be read: {reason}") from None


def _workbook(path: Path) -> str | None:
    """What a zip archive is that is a workbook."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        names = []  # not a readable archive: only the suffix says what it is
    if any(name.startswith("xl/") for name in names) or suffix_of(path) in (".xlsx", ".xlsm"):
        return "an Excel workbook: save it as CSV (UTF-8) in Excel"
    if "content.xml" in names or suffix_of(path) == ".ods":
        return "a workbook of LibreOffice: save it as CSV (UTF-8) there"
    return None
