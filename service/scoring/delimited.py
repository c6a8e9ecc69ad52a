"""CSV and TSV: fields with quotes and line breaks, any usual delimiter, a byte order mark, bytes that are not UTF-8."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from service.scoring.errors import InputRefused, InputUnreadable
from service.scoring.lines import Lines, check_encoding, concatenate, write_text_part
from service.scoring.tables import Chunk, Columns, ReadOptions, check_text_column, usable_text

_DELIMITERS = (",", ";", "\t", "|")
_MAX_FIELD = 16 * 2**20
"""Longer fields come from a quote that nobody closed."""


class DelimitedTable:
    """One CSV or TSV file."""

    def __init__(self, source: Path, options: ReadOptions, *, tabs: bool) -> None:
        self._source = source
        self._options = options
        self.total = source.stat().st_size
        csv.field_size_limit(_MAX_FIELD)
        check_encoding(source, options.encoding)
        self._delimiter = "\t" if tabs else options.delimiter or self._find_delimiter()
        with Lines(source, 0, options.encoding) as lines:
            header = next(self._records(lines), None)
            self._body = lines.offset
        if not header:
            raise InputRefused(f"{source} has no header: its first line must name the columns")
        self.columns: Sequence[str] = header
        check_text_column(header, options.text_column, source)
        self._text = header.index(options.text_column)

    def chunks(self, start: int) -> Iterator[Chunk]:
        """Rows as lists of strings; `start` counts bytes."""
        width = len(self.columns)
        rows: list[list[str]] = []
        texts: list[str | None] = []
        problems: list[str | None] = []
        characters = 0
        with Lines(self._source, start or self._body, self._options.encoding) as lines:
            for fields in self._records(lines):
                if not fields:
                    continue  # an empty line is no row
                text, problem = (
                    usable_text(fields[self._text])
                    if len(fields) == width
                    else (None, f"row has {len(fields)} fields, the header has {width}")
                )
                rows.append((fields + [""] * width)[:width])
                texts.append(text)
                problems.append(problem)
                characters += len(text or "")
                if len(rows) >= self._options.chunk_rows or characters >= self._options.chunk_characters:
                    yield Chunk(rows, texts, problems, lines.offset, lines.position)
                    rows, texts, problems, characters = [], [], [], 0
            if rows:
                yield Chunk(rows, texts, problems, lines.offset, lines.position)

    def write_part(self, path: Path, chunk: Chunk, added: Columns) -> None:
        """Rows without a header, in the delimiter of the input."""
        new = zip(*([_cell(value) for value in column.values] for column in added.values()), strict=True)
        rows = [[*row, *cells] for row, cells in zip(chunk.rows, new, strict=True)]
        write_text_part(path, [self._written(rows)])

    def assemble(self, parts: Sequence[Path], path: Path, added: Mapping[str, type]) -> None:
        """The header, then every part."""
        header = path.with_name(f"header-{path.name}")
        write_text_part(header, [self._written([[*self.columns, *added]])])
        concatenate([header, *parts], path)

    def _written(self, rows: list[list[str]]) -> str:
        buffer = io.StringIO()
        csv.writer(buffer, delimiter=self._delimiter, lineterminator="\n").writerows(rows)
        return buffer.getvalue()

    def _find_delimiter(self) -> str:
        with Lines(self._source, 0, self._options.encoding) as lines:
            first = next(lines, "")
        headers = {delimiter: next(csv.reader([first], delimiter=delimiter), []) for delimiter in _DELIMITERS}
        # A header that names the text column decides; else the delimiter that finds the most columns.
        return max(
            _DELIMITERS, key=lambda d: (self._options.text_column in headers[d], len(headers[d]), d == ",")
        )

    def _records(self, lines: Lines) -> Iterator[list[str]]:
        record = _Recorded(lines)
        reader = csv.reader(record, delimiter=self._delimiter)
        begun_at = lines.offset
        try:
            for fields in reader:
                # A quote that nobody closes would swallow every row up to the end of the file.
                if record.at_end and _is_open(record.lines, self._delimiter):
                    raise InputUnreadable(
                        f"{self._source} has a quoted field that does not end, in the row at byte {begun_at}"
                    )
                begun_at = lines.offset
                record.lines.clear()
                yield fields
        except csv.Error as error:
            raise InputUnreadable(
                f"{self._source} is not readable as CSV in the row at byte {begun_at}: {error}"
            ) from None


class _Recorded(Iterator[str]):
    """Lines, kept until the row that they belong to is whole."""

    def __init__(self, lines: Lines) -> None:
        self.lines: list[str] = []
        self.at_end = False
        self._source = lines

    def __next__(self) -> str:
        try:
            self.lines.append(next(self._source))
        except StopIteration:
            self.at_end = True
            raise
        return self.lines[-1]


def _is_open(lines: list[str], delimiter: str) -> bool:
    try:
        for _ in csv.reader(lines, delimiter=delimiter, strict=True):
            pass
    except csv.Error as error:
        return "end of data" in str(error)
    return False


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
