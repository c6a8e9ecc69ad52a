"""Parquet: columns keep their types. Needs pyarrow, the extra `batch`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from service.scoring.errors import InputRefused, InputUnreadable
from service.scoring.tables import Chunk, Columns, ReadOptions, check_text_column, usable_text

_READ_ROWS = 256
_BUFFER_BYTES = 2**20
"""Columns are read through a buffer: a row group, which may be the whole file, never lies in memory."""


class ParquetTable:
    """One Parquet file."""

    def __init__(self, source: Path, options: ReadOptions) -> None:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise InputRefused(
                f"{source} is Parquet, which needs pyarrow: install the extra, pip install 'champion[batch]'"
            ) from None
        self._pa, self._pq = pa, pq
        self._source = source
        self._options = options
        with self._open() as file:
            self.total = int(file.metadata.num_rows)
            schema = file.schema_arrow
        self.columns: Sequence[str] = list(schema.names)
        check_text_column(self.columns, options.text_column, source)
        kind = schema.field(options.text_column).type
        values = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (
            pa.types.is_string(values) or pa.types.is_large_string(values) or pa.types.is_string_view(values)
        ):
            raise InputRefused(
                f"column {options.text_column!r} of {source} is of type {kind}: a text column is needed"
            )

    def chunks(self, start: int) -> Iterator[Chunk]:
        """Rows as Arrow tables; `start` counts rows. Chunks end where a read ends, so a start is always one."""
        batches: list[Any] = []
        texts: list[str | None] = []
        problems: list[str | None] = []
        characters, end = 0, start
        for batch in self._batches(start):
            found = [usable_text(value) for value in batch.column(self._options.text_column).to_pylist()]
            batches.append(batch)
            texts += [text for text, _ in found]
            problems += [problem for _, problem in found]
            characters += sum(len(text or "") for text, _ in found)
            end += batch.num_rows
            if len(texts) >= self._options.chunk_rows or characters >= self._options.chunk_characters:
                yield Chunk(self._pa.Table.from_batches(batches), texts, problems, end, end)
                batches, texts, problems, characters = [], [], [], 0
        if texts:
            yield Chunk(self._pa.Table.from_batches(batches), texts, problems, end, end)

    def write_part(self, path: Path, chunk: Chunk, added: Columns) -> None:
        """The chunk's table with the added columns."""
        table = chunk.rows
        for name, column in added.items():
            table = table.append_column(name, self._pa.array(column.values, self._arrow_type(column.kind)))
        self._pq.write_table(table, path)

    def assemble(self, parts: Sequence[Path], path: Path, added: Mapping[str, type]) -> None:
        """One file, a row group a part."""
        if not parts:
            return self._write_empty(path, added)
        with self._pq.ParquetWriter(path, self._pq.read_schema(parts[0])) as writer:
            for part in parts:
                writer.write_table(self._pq.read_table(part))
        return None

    def _write_empty(self, path: Path, added: Mapping[str, type]) -> None:
        with self._open() as file:
            table = file.schema_arrow.empty_table()
        for name, kind in added.items():
            table = table.append_column(name, self._pa.array([], self._arrow_type(kind)))
        self._pq.write_table(table, path)

    def _batches(self, start: int) -> Iterator[Any]:
        """Record batches from row `start` on, cut alike whatever the start: at each row group, then every 256 rows."""
        row = 0
        with self._open() as file:
            for group in range(file.metadata.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if row + rows <= start:
                    row += rows
                    continue
                try:
                    for batch in file.iter_batches(_READ_ROWS, row_groups=[group]):
                        if row >= start:
                            yield batch
                        row += batch.num_rows
                except (self._pa.ArrowException, OSError) as error:
                    raise InputUnreadable(f"{self._source} cannot be read at row {row}: {error}") from None

    def _open(self) -> Any:
        try:
            return self._pq.ParquetFile(self._source, pre_buffer=False, buffer_size=_BUFFER_BYTES)
        except (self._pa.ArrowException, OSError) as error:
            raise InputUnreadable(f"{self._source} is not a Parquet file: {error}") from None

    def _arrow_type(self, kind: type) -> Any:
        pa = self._pa
        return {str: pa.string(), float: pa.float32(), int: pa.int32(), bool: pa.bool_()}[kind]
