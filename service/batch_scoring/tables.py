"""The file that is scored: its rows in chunks with the texts to classify, and the same rows with new columns.

Reading and writing are `stores.tabular`'s; here is what scoring asks of a row.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.batch_scoring.errors import InputRefused, InputUnreadable
from stores import tabular
from stores.tabular import (
    Columns,
    LineCounts,
    Position,
    TableDamaged,
    TableError,
    TableNotFound,
    TableOptions,
    open_table,
    writer_for,
)
from stores.tabular.limits import CHUNK_BYTES
from stores.tabular.parquet import ParquetTable

NO_TEXT = "no text"
NOT_A_STRING = "text is not a string"
NOT_UNICODE = "text is not valid Unicode"


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a file."""

    text_column: str = "text"
    """The column to classify."""
    chunk_rows: int = 4096
    """Rows that are read, scored and made safe at a time."""
    chunk_bytes: int = CHUNK_BYTES
    """A chunk ends early once its rows are this long together, so that long texts do not fill the memory."""
    encoding: str = "utf-8"
    """Of a text file without a byte order mark; what is written is UTF-8."""
    delimiter: str | None = None
    """Of a delimited text file; None finds it."""
    quote: str = "auto"
    """See `TableOptions.quote`."""
    header: bool = True
    """Whether the first row of a delimited text file names the columns."""
    column_names: tuple[str, ...] | None = None
    """Names in place of the header's, or where there is none."""

    def table_options(self) -> TableOptions:
        """For the reader."""
        return TableOptions(self.delimiter, self.quote, self.encoding, self.header, self.column_names)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of the input, one after another."""

    rows: tabular.Chunk
    texts: list[str | None]
    """What to classify; None where a row has nothing that can be."""
    problems: list[str | None]
    """Why a row's text is None."""

    @property
    def end(self) -> Position:
        """Where the next chunk starts."""
        return self.rows.end

    @property
    def position(self) -> int:
        """How far into `Table.total` this chunk reaches."""
        return self.rows.read


class Table:
    """One input file, and the same rows with new columns as the output.

    Args:
        source: the input.
        target: the output; it has the format of the input.
        options: how to read the input.
        added: the new columns and their kinds.

    Raises:
        InputRefused: the file cannot be read as it was asked for, or has no such column.
        InputUnreadable: it breaks off, or is not what its suffix says.
    """

    def __init__(self, source: Path, target: Path, options: ReadOptions, added: Mapping[str, type]) -> None:
        with _errors():
            self._table = open_table(source, options.table_options())
        self._options = options
        self._text = self._find_text_column(options.text_column, source)
        self._check_kind(options.text_column, source)
        if taken := set(self._table.columns) & set(added):
            raise InputRefused(
                f"{source} has a column {min(taken)!r} of its own: give the new ones a prefix, "
                "such as --prefix predicted_"
            )
        with _errors():
            self._writer = writer_for(self._table, target, added)

    @property
    def total(self) -> int:
        """Size of the input in the unit of `Chunk.position`."""
        return self._table.total

    @property
    def counts(self) -> LineCounts:
        """What the lines of the input are, as far as it was read."""
        return self._table.counts

    def notes(self) -> list[str]:
        """Sentences about how the input was read."""
        return self._table.notes()

    def chunks(self, start: Position | None) -> Iterator[Chunk]:
        """The rows from `start` (None, or the `end` of a chunk). The same start gives the same chunks."""
        options = self._options
        with _errors():
            for rows in self._table.chunks(
                start, needed=(self._text,), chunk_rows=options.chunk_rows, chunk_bytes=options.chunk_bytes
            ):
                found = [
                    (None, problem) if problem is not None else usable_text(value)
                    for value, problem in zip(rows.column(self._text), rows.problems, strict=True)
                ]
                yield Chunk(rows, [text for text, _ in found], [problem for _, problem in found])

    def write_part(self, path: Path, chunk: Chunk, added: Columns) -> None:
        """Write a chunk's rows with the added columns."""
        with _errors():
            self._writer.write_part(path, chunk.rows, added)

    def assemble(self, parts: Sequence[Path], path: Path) -> None:
        """Write the whole output from its parts, in constant memory."""
        self._writer.assemble(parts, path)

    def _find_text_column(self, wanted: str, source: Path) -> int:
        columns = self._table.columns
        found = columns.count(wanted)
        if found == 1:
            return columns.index(wanted)
        if found > 1:
            raise InputRefused(f"{source} has {found} columns called {wanted!r}: rename all but one")
        by_lower = {name.lower().strip(): name for name in columns}
        near = difflib.get_close_matches(wanted.lower(), by_lower, n=1, cutoff=0.5)
        hint = f" Did you mean --text-column {by_lower[near[0]]!r}?" if near else ""
        existing = ", ".join(repr(name[:40]) for name in columns) or "none at all"
        raise InputRefused(f"{source} has no column {wanted!r}; its columns are {existing}.{hint}")

    def _check_kind(self, wanted: str, source: Path) -> None:
        if not isinstance(self._table, ParquetTable):
            return
        kind = self._table.kind(self._text)
        if kind not in ("text", "bytes"):
            kind = str(self._table.schema.field(self._text).type)[:100]
            raise InputRefused(f"column {wanted!r} of {source} is of type {kind}: a text column is needed")


def usable_text(value: object) -> tuple[str | None, str | None]:
    """A cell as a text to classify, or None and why not."""
    if value is None:
        return None, NO_TEXT
    if not isinstance(value, str):
        return None, NOT_A_STRING
    if not value or value.isspace():
        return None, NO_TEXT
    if value.isascii():
        return value, None
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return None, NOT_UNICODE
    return value, None


class _errors:
    """Raises this package's errors for the reader's."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: Any) -> None:
        if isinstance(error, TableDamaged):
            raise InputUnreadable(str(error)) from None
        if isinstance(error, TableNotFound | TableError):
            raise InputRefused(str(error)) from None
