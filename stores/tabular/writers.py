"""Writing a table's rows with further columns: in parts, which are then put together in constant memory.

What is written is UTF-8; delimited text is quoted by RFC 4180 with the delimiter of the input. Bytes of the input that
could not be decoded are written as they were.
"""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stores.tabular.delimited import DelimitedTable
from stores.tabular.errors import TableRefused
from stores.tabular.formats import FAMILIES, suffix_of
from stores.tabular.json_table import JsonTable
from stores.tabular.parquet import ParquetTable
from stores.tabular.table import Chunk, Table

_COPIED_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class NewColumn:
    """A column that is added."""

    kind: type
    """str, float, int or bool."""
    values: list[Any]
    """One value a row; None where there is none."""


Columns = dict[str, NewColumn]
"""Added columns by name, in order."""


class TableWriter(ABC):
    """Writes the rows of one table with added columns, whose names and kinds are `added`."""

    def __init__(self, added: Mapping[str, type]) -> None:
        self.added = dict(added)

    @abstractmethod
    def write_part(self, path: Path, chunk: Chunk, added: Columns) -> None:
        """Write the rows of a chunk with the added columns."""

    @abstractmethod
    def assemble(self, parts: Sequence[Path], path: Path) -> None:
        """Write the whole output from its parts."""


def writer_for(table: Table, target: Path, added: Mapping[str, type]) -> TableWriter:
    """What writes `target` with the rows of `table`: the same format; gzip where the name ends in `.gz`.

    Raises:
        TableRefused: `target` has the suffix of another format, or a column of `added` is in the file already.
    """
    family = (
        "Parquet" if isinstance(table, ParquetTable) else "JSON" if isinstance(table, JsonTable) else "CSV"
    )
    wanted = FAMILIES.get(suffix_of(target))
    if wanted is not None and wanted != family:
        raise TableRefused(
            f"{table.path} is {table.format} and {target} would be {wanted}: the output has the format of the input"
        )
    if taken := set(table.columns) & set(added):
        raise TableRefused(f"{table.path} has a column {min(taken)!r} already")
    if isinstance(table, ParquetTable):
        if target.suffix.lower() == ".gz":
            raise TableRefused(f"{target} would be Parquet, which is compressed already: name it without .gz")
        return ParquetWriter(table, added)
    if isinstance(table, JsonTable):
        is_array = table.format == "JSON" and suffix_of(target) == ".json"
        return JsonWriter(table.path, added, as_array=is_array)
    assert isinstance(table, DelimitedTable)
    delimiter = "\t" if suffix_of(target) == ".tsv" else table.delimiter
    header = table.header if table.header and len(table.header) == len(table.columns) else table.columns
    return DelimitedWriter(delimiter, table.columns if table.has_given_names else header, added)


class DelimitedWriter(TableWriter):
    """Rows in the input's delimiter, with a header."""

    def __init__(self, delimiter: str, header: Sequence[str], added: Mapping[str, type]) -> None:
        super().__init__(added)
        self._delimiter = delimiter
        self._header = list(header)

    def write_part(self, path: Path, chunk: Chunk, added: Columns) -> None:
        """Rows without a header."""
        columns = [[_cell(value) for value in column.values] for column in added.values()]
        write_text(
            path, self._written([[*row, *cells] for row, *cells in zip(chunk.rows, *columns, strict=True)])
        )

    def assemble(self, parts: Sequence[Path], path: Path) -> None:
        """The header, then every part."""
        header = path.with_name(f"header-{path.name}")
        write_text(header, self._written([[*self._header, *self.added]]))
        concatenate([header, *parts], path)

    def _written(self, rows: Sequence[Sequence[str]]) -> list[str]:
        lines = _LineFeeds()
        # Fields with any character of the line end are quoted, so a carriage return must be among them.
        csv.writer(lines, delimiter=self._delimiter, lineterminator="\r\n").writerows(rows)
        return lines


class JsonWriter(TableWriter):
    """One object a line, or an array of them."""

    def __init__(self, source: Path, added: Mapping[str, type], *, as_array: bool) -> None:
        super().__init__(added)
        self._source = source
        self._as_array = as_array

    def write_part(self, path: Path, chunk: Chunk, added: Columns) -> None:
        """The rows' own keys, then the added ones.

        Raises:
            TableRefused: a row has one of the added keys already.
        """
        lines = []
        for row, *cells in zip(chunk.rows, *(column.values for column in added.values()), strict=True):
            new = dict(zip(added, cells, strict=True))
            if taken := row.keys() & new.keys():
                raise TableRefused(f"{self._source} has a row with a key {min(taken)!r} already")
            lines.append(_line(row | new))
        if self._as_array:
            lines = [line if chunk.first + place == 1 else "," + line for place, line in enumerate(lines)]
        write_text(path, lines)

    def assemble(self, parts: Sequence[Path], path: Path) -> None:
        """Every part, one after another."""
        if not self._as_array:
            return concatenate(parts, path)
        begin, end = path.with_name(f"begin-{path.name}"), path.with_name(f"end-{path.name}")
        write_text(begin, ["["])
        write_text(end, ["]\n"])
        return concatenate([begin, *parts, end], path)


class ParquetWriter(TableWriter):
    """Columns keep their types; each part is a row group."""

    def __init__(self, table: ParquetTable, added: Mapping[str, type]) -> None:
        super().__init__(added)
        self._pa, self._pq = table.pa, table.pq
        self._schema = table.schema

    def write_part(self, path: Path, chunk: Chunk, added: Columns) -> None:
        """The chunk's table with the added columns."""
        table = chunk.rows
        for name, column in added.items():
            table = table.append_column(name, self._pa.array(column.values, self._type(column.kind)))
        self._pq.write_table(table, path)

    def assemble(self, parts: Sequence[Path], path: Path) -> None:
        """One file."""
        if not parts:
            table = self._schema.empty_table()
            for name, kind in self.added.items():
                table = table.append_column(name, self._pa.array([], self._type(kind)))
            return self._pq.write_table(table, path)  # type: ignore[no-any-return]
        with self._pq.ParquetWriter(path, self._pq.read_schema(parts[0])) as writer:
            for part in parts:
                writer.write_table(self._pq.read_table(part))
        return None

    def _type(self, kind: type) -> Any:
        pa = self._pa
        return {str: pa.string(), float: pa.float32(), int: pa.int32(), bool: pa.bool_()}[kind]


class _LineFeeds(list[str]):
    """Takes what csv.writer writes, and ends each row with a line feed alone."""

    def write(self, row: str) -> None:
        self.append(row.removesuffix("\r\n") + "\n")


def write_text(path: Path, lines: Sequence[str]) -> None:
    """Write lines as UTF-8, gzipped where the name says so; surrogates become the bytes that they were."""
    content = "".join(lines).encode("utf-8", "surrogateescape")
    # Without a time in its head, the same rows give the same file.
    path.write_bytes(gzip.compress(content, 6, mtime=0) if path.suffix == ".gz" else content)


def concatenate(parts: Sequence[Path], path: Path) -> None:
    """Join files byte by byte; gzipped files joined are one gzipped file."""
    with path.open("wb") as whole:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, whole, _COPIED_BYTES)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _line(row: dict[str, Any]) -> str:
    text = json.dumps(row, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair can only be written as \udXXX
        text = json.dumps(row)
    return text + "\n"
