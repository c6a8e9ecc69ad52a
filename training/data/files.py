"""Rows of CSV, TSV, Parquet and JSONL files; a row that cannot be read is yielded as such and stops nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from training.data.config import DataConfig
from training.data.errors import SourceNotFound
from training.data.rows import Columns, Row, find_columns

DELIMITERS = {".csv": ",", ".tsv": "\t"}
SUFFIXES = (*DELIMITERS, ".parquet", ".jsonl")
_BLOCK_BYTES = 16 * 1024 * 1024
"""Longest row of a CSV file; Arrow refuses one that is longer than a block."""


def is_file_source(source: str) -> bool:
    """Whether `source` is the path of a file, by its suffix."""
    return Path(source).suffix.lower() in SUFFIXES


def file_rows(config: DataConfig) -> Iterator[Row]:
    """Rows of the file at `config.source`.

    Raises:
        SourceNotFound: there is no such file, or it is not of the format that its name says.
        ColumnNotFound: it lacks the columns.
    """
    path = Path(config.source)
    if not path.is_file():
        raise SourceNotFound(
            f"there is no file {path}; name one with data.source, such as --set data.source=folder/{path.name}"
        )
    suffix = path.suffix.lower()
    try:
        if suffix == ".parquet":
            yield from _parquet_rows(path, config)
        elif suffix == ".jsonl":
            yield from _json_rows(path, config)
        else:
            yield from _csv_rows(path, config, config.delimiter or DELIMITERS[suffix])
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceNotFound(f"{path} cannot be read as {suffix[1:]}: {error}") from error


def _csv_rows(path: Path, config: DataConfig, delimiter: str) -> Iterator[Row]:
    broken: set[int] = set()

    def note_broken(row: Any) -> str:
        broken.add(row.number)
        return "skip"

    # Arrow counts rows of the file from 1, and a header is one of them.
    header_rows = 1 if config.header else 0
    parse = pa.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note_broken)
    # One thread, or the numbers of broken rows are unknown.
    read = pa.csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES, encoding="utf-8")
    if config.column_names is not None:
        read.column_names, read.skip_rows = list(config.column_names), header_rows
    elif not config.header:
        read.autogenerate_column_names = True
    arrow_names = pa.csv.open_csv(path, read_options=read, parse_options=parse).schema.names
    broken.clear()
    names = arrow_names
    if not config.header and config.column_names is None:
        names = [str(position) for position in range(1, len(arrow_names) + 1)]
    columns = find_columns(names, config)
    wanted = {arrow_names[names.index(name)]: name for name in dict.fromkeys((*columns.texts, columns.label))}
    # As bytes: one row that is not UTF-8 must not spoil the rest.
    convert = pa.csv.ConvertOptions(
        include_columns=list(wanted),
        column_types=dict.fromkeys(wanted, pa.binary()),
        strings_can_be_null=False,
    )
    number = 0
    for batch in pa.csv.open_csv(path, read_options=read, parse_options=parse, convert_options=convert):
        for values in zip(*(batch.column(name).to_pylist() for name in wanted), strict=True):
            number += 1
            while number + header_rows in broken:
                yield Row(number, unreadable=True)
                number += 1
            yield _decoded(number, dict(zip(wanted.values(), values, strict=True)), columns, config.encoding)
    for last in sorted(row - header_rows for row in broken if row - header_rows > number):
        yield Row(last, unreadable=True)


def _decoded(number: int, values: dict[str, bytes | None], columns: Columns, encoding: str) -> Row:
    try:
        return columns.row(number, {name: (value or b"").decode(encoding) for name, value in values.items()})
    except UnicodeDecodeError:
        return Row(number, unreadable=True)


def _parquet_rows(path: Path, config: DataConfig) -> Iterator[Row]:
    with pa.parquet.ParquetFile(path) as file:
        columns = find_columns(file.schema_arrow.names, config)
        number = 0
        for batch in file.iter_batches(columns=list(dict.fromkeys((*columns.texts, columns.label)))):
            for values in batch.to_pylist():
                number += 1
                yield columns.row(number, values)


def _json_rows(path: Path, config: DataConfig) -> Iterator[Row]:
    columns: Columns | None = None
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                values = json.loads(line.decode(config.encoding))
            except ValueError:  # bad JSON and bad encoding alike
                yield Row(number, unreadable=True)
                continue
            if not isinstance(values, dict):
                yield Row(number, unreadable=True)
                continue
            columns = columns or find_columns(list(values), config)
            yield columns.row(number, values)
