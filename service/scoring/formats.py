"""Which format a file has, by its name."""

from __future__ import annotations

from pathlib import Path

from service.scoring.delimited import DelimitedTable
from service.scoring.errors import InputRefused
from service.scoring.json_lines import JsonLinesTable
from service.scoring.parquet import ParquetTable
from service.scoring.tables import ReadOptions, Table

_FORMATS = {
    ".csv": "CSV",
    ".tsv": "TSV",
    ".jsonl": "JSONL",
    ".ndjson": "JSONL",
    ".parquet": "Parquet",
    ".pq": "Parquet",
}


def open_table(source: Path, target: Path, options: ReadOptions) -> Table:
    """The input, ready to be read; the output has the same format, gzipped or not as its own name says.

    Raises:
        InputRefused: an extension that is not known, two formats that differ, a column that is not there.
        InputUnreadable: the file is not what its extension says.
    """
    kind, wanted = _format_of(source), _format_of(target)
    if kind != wanted:
        raise InputRefused(
            f"{source} is {kind} and {target} would be {wanted}: the output has the format of the input"
        )
    if not source.is_file():
        raise InputRefused(f"there is no file {source}")
    if kind == "Parquet":
        return ParquetTable(source, options)
    if kind == "JSONL":
        return JsonLinesTable(source, options)
    return DelimitedTable(source, options, tabs=kind == "TSV")


def _format_of(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    suffix = (suffixes[:-1] if packed else suffixes)[-1:]
    kind = _FORMATS.get(suffix[0]) if suffix else None
    if kind is None or (packed and kind == "Parquet"):
        raise InputRefused(
            f"the format of {path} is not known by its extension; known are {', '.join(_FORMATS)}, "
            "and .gz after those of text"
        )
    return kind
