"""Parquet. Needs pyarrow, which is imported when a file is opened.

A few hundred bytes of Parquet can stand for gigabytes: a value that is stored once is repeated by run lengths, and a
page may be compressed to almost nothing. So the sizes of pages are read before any is decoded (`pages.py`); they
decide how many rows are decoded at a time, and what is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from stores.tabular.errors import TableDamaged, TableRefused
from stores.tabular.limits import (
    CHUNK_BYTES,
    CHUNK_ROWS,
    MAX_ROW_BYTES,
    PARQUET_BATCH_BYTES,
    PARQUET_BATCH_ROWS,
    PARQUET_MAX_NESTED_VALUES,
    PARQUET_MAX_PAGE_BYTES,
    PARQUET_MAX_RATIO,
    PARQUET_MAX_VALUES_PER_BYTE,
)
from stores.tabular.pages import (
    ColumnChunk,
    ColumnPages,
    FooterUnreadable,
    PageHeaderUnreadable,
    column_chunks,
    column_pages,
)
from stores.tabular.table import Chunk, Position, Table

_BUFFER_BYTES = 2**20
"""Columns are read through a buffer: a row group, which may be the whole file, never lies in memory."""
_LEAST_WIDTH = 4
"""Bytes that a nested value takes in memory at least."""


class ParquetTable(Table):
    """One Parquet file.

    Raises:
        TableRefused: pyarrow is not installed.
        TableDamaged: it is no Parquet file, or would take too much memory.
    """

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise TableRefused(
                f"{path} is Parquet, which needs pyarrow: install the extra, pip install 'champion[batch]'"
            ) from None
        self.pa, self.pq = pa, pq
        self.path = path
        try:
            with self._open() as file:
                metadata = file.metadata
                groups = range(metadata.num_row_groups)
                self.schema = file.schema_arrow
                """Of pyarrow."""
                self._group_rows = [metadata.row_group(group).num_rows for group in groups]
            self._batch_rows = self._rows_at_a_time()
        except (pa.ArrowException, ValueError, OverflowError) as error:
            raise TableDamaged(f"{path} is not a whole Parquet file: {error}") from None
        super().__init__(path, "Parquet", self.schema.names, int(metadata.num_rows))

    def kind(self, index: int) -> str:
        """What a column holds: `text`, `bytes`, `nested`, or the name of its type."""
        pa, type_ = self.pa, self.schema.field(index).type
        if pa.types.is_dictionary(type_):
            type_ = type_.value_type
        if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
            return "text"
        if _is_binary(pa, type_):
            return "bytes"
        return "nested" if pa.types.is_nested(type_) else str(type_)

    def chunks(
        self,
        start: Position | None = None,
        *,
        needed: Sequence[int] = (),
        only_needed: bool = False,
        chunk_rows: int = CHUNK_ROWS,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> Iterator[Chunk]:
        """Rows as tables of pyarrow, of all columns or only of those `needed`.

        Chunks end where a batch of rows ends that is decoded at once, so a position is always the end of one.
        """
        at = start or Position()
        self.counts = at.counts
        chosen = sorted(set(needed)) if only_needed else list(range(len(self.columns)))
        checked = [
            chosen.index(index) for index in sorted(set(needed)) if self.kind(index) in ("text", "bytes")
        ]
        batches: list[Any] = []
        rows = size = 0
        for batch in self._batches(at.offset, chosen):
            batches.append(batch)
            rows, size = rows + batch.num_rows, size + batch.nbytes
            if rows >= chunk_rows or size >= chunk_bytes:
                yield self._chunk(batches, chosen, checked)
                batches, rows, size = [], 0, 0
        if rows:
            yield self._chunk(batches, chosen, checked)

    def _chunk(self, batches: list[Any], chosen: list[int], checked: list[int]) -> Chunk:
        table = self.pa.Table.from_batches(batches)
        problems: list[str | None] = [None] * table.num_rows
        for place in checked:
            for row, value in enumerate(_cells(table.column(place))):
                if isinstance(value, _Undecodable):
                    problems[row] = f"bytes in {self.columns[chosen[place]]!r} that are not UTF-8"
        refused, first = sum(problem is not None for problem in problems), self.counts.seen + 1
        self.counts = self.counts.plus(lines=len(problems), rows=len(problems) - refused, refused=refused)
        end = Position(self.counts.lines, self.counts)
        lines = range(first, first + len(problems))
        return _ParquetChunk(self.columns, first, table, lines, problems, end, end.offset, tuple(chosen))

    def _batches(self, start: int, chosen: list[int]) -> Iterator[Any]:
        """Record batches from row `start` on, cut alike whatever the start."""
        names = list(dict.fromkeys(self.columns[index] for index in chosen))
        every = len(chosen) == len(self.columns)
        # A name may belong to several columns, of which one is chosen.
        which = [self.columns[:index].count(self.columns[index]) for index in chosen]
        row = 0
        with self._open() as file:
            for group, (count, at_a_time) in enumerate(zip(self._group_rows, self._batch_rows, strict=True)):
                if row + count <= start:
                    row += count
                    continue
                try:
                    for batch in file.iter_batches(
                        at_a_time,
                        row_groups=[group],
                        columns=None if every else names,
                        use_threads=False,
                    ):
                        if row >= start:
                            yield batch if every else self._selected(batch, chosen, which)
                        row += batch.num_rows
                except (self.pa.ArrowException, OSError, ValueError) as error:
                    raise TableDamaged(f"{self.path} cannot be read at row {row + 1}: {error}") from None

    def _selected(self, batch: Any, chosen: list[int], which: list[int]) -> Any:
        places = []
        for index, occurrence in zip(chosen, which, strict=True):
            same = [place for place, name in enumerate(batch.schema.names) if name == self.columns[index]]
            places.append(same[occurrence])
        return batch.select(places)

    def _rows_at_a_time(self) -> list[int]:
        """Rows of each row group that are decoded at once, so that they take PARQUET_BATCH_BYTES at most.

        Raises:
            TableDamaged: the footer cannot be read, or a page, or a row, can be larger than is allowed.
        """
        with self.path.open("rb") as file:
            try:
                groups = column_chunks(file)
            except FooterUnreadable as error:
                raise TableDamaged(f"{self.path} is damaged or encrypted: {error}") from None
            if len(groups) != len(self._group_rows):
                raise TableDamaged(f"{self.path} is damaged: its footer has another number of row groups")
            return [
                self._rows_of_group(file, columns, rows)
                for columns, rows in zip(groups, self._group_rows, strict=True)
            ]

    def _rows_of_group(self, file: IO[bytes], columns: Sequence[ColumnChunk], group_rows: int) -> int:
        pages = []
        for column in columns:
            if not column.values:
                continue
            try:
                found = column_pages(file, column.start, column.packed)
            except PageHeaderUnreadable as error:
                raise TableDamaged(
                    f"{self.path} is damaged or encrypted: {error} (column {column.name!r})"
                ) from None
            self._check(column, found, group_rows)
            pages.append(found)
        rows = PARQUET_BATCH_ROWS
        while rows > 1 and sum(column.bytes_of(rows) for column in pages) > PARQUET_BATCH_BYTES:
            rows //= 2
        return rows

    def _check(self, column: ColumnChunk, pages: ColumnPages, rows: int) -> None:
        name = column.name
        if pages.swollen > PARQUET_MAX_PAGE_BYTES:
            raise TableDamaged(
                f"{self.path}: a page of column {name!r} takes {pages.swollen / 2**20:,.0f} MiB uncompressed, and not "
                f"1/{PARQUET_MAX_RATIO} of that in the file; {PARQUET_MAX_PAGE_BYTES // 2**20} MiB are allowed"
            )
        if pages.dictionary > MAX_ROW_BYTES and pages.dictionary > MAX_ROW_BYTES * pages.dictionary_values:
            raise TableDamaged(
                f"{self.path}: a value of column {name!r} is longer than {MAX_ROW_BYTES // 2**20} MiB"
            )
        values = column.values
        each = max(_LEAST_WIDTH, pages.dictionary // max(1, pages.dictionary_values))
        if values > rows and (
            values * each > MAX_ROW_BYTES * max(1, rows)
            or (
                values > PARQUET_MAX_NESTED_VALUES
                and values > PARQUET_MAX_VALUES_PER_BYTE * max(1, column.unpacked)
            )
        ):
            raise TableDamaged(
                f"{self.path}: column {name!r} has {values:,} values in {rows:,} rows and "
                f"{column.unpacked:,} bytes: a row of it may take more than {MAX_ROW_BYTES // 2**20} MiB"
            )

    def _open(self) -> Any:
        try:
            return self.pq.ParquetFile(self.path, pre_buffer=False, buffer_size=_BUFFER_BYTES)
        except (self.pa.ArrowException, OSError) as error:
            raise TableDamaged(f"{self.path} is not a Parquet file: {error}") from None


class _ParquetChunk(Chunk):
    """Rows as a table of pyarrow that holds some of the file's columns."""

    __slots__ = ("_chosen",)

    def __init__(
        self,
        columns: Sequence[str],
        first: int,
        rows: Any,
        lines: Sequence[int],
        problems: list[str | None],
        end: Position,
        read: int,
        chosen: tuple[int, ...],
    ) -> None:
        super().__init__(columns, first, rows, lines, problems, end, read)
        self._chosen = chosen

    def column(self, index: int) -> list[Any]:
        """The values of a column as Python's; binary ones as text, with lone surrogates where they are not UTF-8."""
        return [
            value.text if isinstance(value, _Undecodable) else value
            for value in _cells(self.rows.column(self._chosen.index(index)))
        ]


class _Undecodable:
    """Bytes that are not UTF-8."""

    def __init__(self, raw: bytes) -> None:
        self.text = raw.decode("utf-8", "surrogateescape")


def _cells(column: Any) -> list[Any]:
    """Values of a column of pyarrow; bytes as text or `_Undecodable`."""
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:  # pyarrow takes any bytes for text when it reads
        import pyarrow as pa

        values = column.cast(pa.large_binary()).to_pylist()
    return [_decoded(value) if isinstance(value, bytes) else value for value in values]


def _decoded(raw: bytes) -> str | _Undecodable:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return _Undecodable(raw)


def _is_binary(pa: Any, type_: Any) -> bool:
    return bool(
        pa.types.is_binary(type_) or pa.types.is_large_binary(type_) or pa.types.is_fixed_size_binary(type_)
        or pa.types.is_binary_view(type_)
    )  # fmt: skip
