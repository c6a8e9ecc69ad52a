"""CSV, TSV and other delimited text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from stores.tabular.dialect import Dialect, Sample, common_width, find_dialect
from stores.tabular.errors import TableRefused
from stores.tabular.fields import QUOTE
from stores.tabular.limits import CHUNK_BYTES, CHUNK_ROWS, MAX_ROW_BYTES
from stores.tabular.lines import Lines, OverlongLine, TextFile
from stores.tabular.options import TableOptions
from stores.tabular.records import Record
from stores.tabular.table import Chunk, LineCounts, Position, Table

OVERLONG = f"row is longer than {MAX_ROW_BYTES // 2**20} MiB"
KEPT_QUOTES = "quotes are kept as characters, since they quote no field"
UNNAMED_VALUES = "values in columns without a name: a delimiter in a text that is not quoted cuts it off"
_INVISIBLE = "\ufeff\u200b\u2060 \t\u00a0"
_QUOTE_BYTE = QUOTE.encode()


class DelimitedTable(Table):
    """One delimited text file.

    Args:
        path: the file.
        options: how to read it.
        usual: the delimiter of its suffix.

    Raises:
        TableRefused: it has no rows, or its header cannot be read as `options` say.
        TableDamaged: it breaks off.
    """

    def __init__(self, path: Path, options: TableOptions, usual: str) -> None:
        self._options = options
        self._text = TextFile(path, options)
        sample, whole = self._text.sample()
        lines = [line.decode(self._text.line_encoding, "surrogateescape") for line in sample]
        if not any(line.strip() for line in lines):
            raise TableRefused(f"{path} has no rows")
        self.dialect: Dialect = find_dialect(lines, options, usual, whole=whole)
        reader = self.dialect.reader()
        source = Sample(lines[self.dialect.separator_lines :])
        records = source.records(reader, None)
        self.header: list[str] = self._header(records, path) if options.header else []
        """Cells of the header as they stand in the file."""
        self.has_given_names = options.column_names is not None
        """Whether the names of the columns come from the options."""
        columns = [name.strip(_INVISIBLE) for name in self.header]
        if options.column_names is not None:
            columns = list(options.column_names)
        elif not options.header:
            columns = [str(number) for number in range(1, self._width_of(records) + 1)]
        super().__init__(path, "TSV" if self.dialect.delimiter == "\t" else "CSV", columns, self._text.total)
        self._check_width(records, path)
        self.remarks += self.dialect.remarks
        self._start = self._behind_header(sample, records)

    @property
    def delimiter(self) -> str:
        """What separates the fields."""
        return self.dialect.delimiter

    def chunks(
        self,
        start: Position | None = None,
        *,
        needed: Sequence[int] = (),
        only_needed: bool = False,  # noqa: ARG002
        chunk_rows: int = CHUNK_ROWS,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> Iterator[Chunk]:
        """Rows as lists of strings. Bytes that cannot be decoded are lone surrogates in them (PEP 383)."""
        at = start if start is not None and start.offset else self._start
        self.counts = at.counts
        self._noted.clear()
        reading = _Reading(self, at)
        try:
            while chunk := reading.chunk(needed, chunk_rows, chunk_bytes):
                yield chunk
        finally:
            reading.close()

    def _header(self, records: list[tuple[int, Record]], path: Path) -> list[str]:
        first = records[0][1] if records else Record([], 1)
        if first.problem is not None:
            raise TableRefused(
                f"the first row of {path} cannot be read as column names: {first.problem}. If quotes are characters "
                f"there, say {self._options.say('quote', 'none')}"
            )
        for name in first.fields:
            try:
                name.encode("utf-8")
            except UnicodeEncodeError:
                raw = name.encode(self._text.line_encoding, "surrogateescape")
                likely = self._text.likely_encoding() or "cp1252"
                raise TableRefused(
                    f"the header of {path} is not {self._text.encoding.name}: a column name is {raw!r}. It is probably "
                    f"{likely} ({raw.decode(likely, 'replace')!r}): say {self._options.say('encoding', likely)}"
                ) from None
        return first.fields

    def _width_of(self, records: list[tuple[int, Record]]) -> int:
        return common_width([record.fields for _, record in records if record.problem is None]) or 1

    def _check_width(self, records: list[tuple[int, Record]], path: Path) -> None:
        width, names = self._width_of(records), self._options.column_names
        if names is not None and len(names) != width and len(names) != max(width, len(self.header)):
            raise TableRefused(
                f"{len(names)} column names are given ({', '.join(names)}), and the rows of {path} have {width} fields"
            )

    def _behind_header(self, sample: list[bytes], records: list[tuple[int, Record]]) -> Position:
        begin, lines, blank = self._text.begin, self.dialect.separator_lines, 0
        header = lines
        if self._options.header and records:
            index, first = records[0]
            blank = index
            header += first.lines
            lines += index + first.lines
        offset = begin + sum(map(len, sample[:lines]))
        return Position(offset, LineCounts(lines=lines, header=header, blank=blank))


class _Reading:
    """One pass over the rows of a table; the source of lines for its `RecordReader`."""

    def __init__(self, table: DelimitedTable, start: Position) -> None:
        self._table = table
        self._lines = Lines(table._text, start.offset)
        self._encoding = table._text.line_encoding
        self._reader = table.dialect.reader()
        self._width = len(table.columns)
        self._last_named = max((index for index, name in enumerate(table.columns) if name), default=-1)
        self._ahead: list[bytes] = []
        self._at = 0
        self._offset = start.offset
        self._lone_returns = False

    def close(self) -> None:
        """Close the file."""
        self._lines.close()

    def peek(self, ahead: int) -> str | None:
        """See `LineSource`."""
        while self._at + ahead >= len(self._ahead):
            if not self._more():
                return None
        line = self._ahead[self._at + ahead]
        if isinstance(line, OverlongLine):
            return None
        return line.decode(self._encoding, "surrogateescape")

    def chunk(self, needed: Sequence[int], chunk_rows: int, chunk_bytes: int) -> Chunk | None:
        """The next rows; None where there are none."""
        table, counts = self._table, self._table.counts
        delimiter, width, encoding = table.delimiter, self._width, self._encoding
        trivial = delimiter + " \t"
        quoting = table.dialect.quote != "none"
        quick = self._reader.splitter.quick
        splits = table.dialect.quote == "backslash"
        first = counts.seen + 1
        rows: list[list[str]] = []
        lines: list[int] = []
        problems: list[str | None] = []
        line, blank, continuation, size = counts.lines, counts.blank, 0, 0
        while len(rows) < chunk_rows and size < chunk_bytes:
            if self._at >= len(self._ahead) and not self._more():
                break
            raw = self._ahead[self._at]
            taken, problem = 1, None
            if quoting and (_QUOTE_BYTE in raw or (splits and b"\\" in raw)):
                found = None
                if type(raw) is bytes:
                    found = quick(raw.decode(encoding, "surrogateescape").rstrip("\r\n"))
                if found is not None:
                    fields = found
                else:
                    fields, taken, problem = self._quoted(raw, first + len(rows))
            else:
                try:
                    text = raw.decode(encoding).rstrip("\r\n")
                except UnicodeDecodeError:
                    text = raw.decode(encoding, "surrogateescape").rstrip("\r\n")
                if type(raw) is OverlongLine:
                    fields, problem = [text[:200]], OVERLONG
                    size += width
                elif not text.strip(trivial) and (width > 1 or not text):
                    blank += 1
                    line += 1
                    self._offset += len(raw)
                    self._at += 1
                    continue
                elif self._lone_returns and type(raw) is bytes and "\r" in text:
                    self._split_at_returns(text, raw)
                    continue
                else:
                    fields = text.split(delimiter)
            if len(fields) != width:
                fields, problem = self._fitted(fields, problem)
            elif problem is None and self._last_named < width - 1 and any(fields[self._last_named + 1 :]):
                table._note(UNNAMED_VALUES, first + len(rows))
            rows.append(fields)
            lines.append(line + 1)
            if taken == 1:
                used = raw.size if type(raw) is OverlongLine else len(raw)
            else:
                used = sum(map(len, self._ahead[self._at : self._at + taken]))
                continuation += taken - 1
            line += taken
            size += used
            self._offset += used
            self._at += taken
            problems.append(problem)
        self._check_needed(rows, problems, needed)
        refused = sum(problem is not None for problem in problems)
        table.counts = LineCounts(
            lines=line,
            rows=counts.rows + len(rows) - refused,
            refused=counts.refused + refused,
            header=counts.header,
            blank=blank,
            continuation=counts.continuation + continuation,
        )
        if not rows:
            return None
        end = Position(self._offset, table.counts)
        return Chunk(table.columns, first, rows, lines, problems, end, self._lines.on_disk(self._offset))

    def _more(self) -> bool:
        more = self._lines.read()
        if self._at:
            del self._ahead[: self._at]
            self._at = 0
        self._ahead += more
        self._lone_returns = self._lone_returns or self._lines.holds_lone_returns
        return bool(more)

    def _quoted(self, raw: bytes, number: int) -> tuple[list[str], int, str | None]:
        if isinstance(raw, OverlongLine):
            return [raw.decode(self._encoding, "surrogateescape")[:200]], 1, OVERLONG
        text = raw.decode(self._encoding, "surrogateescape").rstrip("\r\n")
        record = self._reader.record(text, self, self._width)
        if record.literal:
            self._table._note(KEPT_QUOTES, number)
        return record.fields, record.lines, record.problem

    def _split_at_returns(self, text: str, raw: bytes) -> None:
        """A line with carriage returns inside: they end rows where each piece is one, else they belong to the text."""
        pieces = text.split("\r")
        delimiter = self._table.delimiter
        if self._width == 1 or all(len(piece.split(delimiter)) == self._width for piece in pieces if piece):
            encoded = raw.split(b"\r")
            parts = [piece + b"\r" for piece in encoded[:-1]]
            if encoded[-1].strip(b"\n"):
                parts.append(encoded[-1])
            else:
                parts[-1] += encoded[-1]
            self._ahead[self._at : self._at + 1] = parts
        else:
            self._ahead[self._at] = _Whole(raw)

    def _fitted(self, fields: list[str], problem: str | None) -> tuple[list[str], str | None]:
        """A row of another width: surplus empty fields are dropped, missing columns without a name are empty."""
        count, width = len(fields), self._width
        if count > width:
            if problem is None and any(field.strip() for field in fields[width:]):
                problem = f"row has {count} fields, {self._expected()}"
            if problem is not None:  # all of its content stays, in the last column
                return [*fields[: width - 1], self._table.delimiter.join(fields[width - 1 :])], problem
            return fields[:width], None
        if problem is None and count <= self._last_named:
            problem = f"row has {count} {'field' if count == 1 else 'fields'}, {self._expected()}"
        return fields + [""] * (width - count), problem

    def _expected(self) -> str:
        if self._table.header and self._table._options.column_names is None:
            return f"the header has {self._width}"
        return f"there are {self._width} columns"

    def _check_needed(self, rows: list[list[str]], problems: list[str | None], needed: Sequence[int]) -> None:
        """Refuse rows whose needed fields hold bytes that could not be decoded."""
        for column in needed:
            try:
                "".join([row[column] for row in rows]).encode("utf-8")
            except UnicodeEncodeError:
                for index, row in enumerate(rows):
                    if problems[index] is None and not _is_text(row[column]):
                        problems[index] = f"not {self._table._text.encoding.name}: {self._hint()}"

    def _hint(self) -> str:
        options, text = self._table._options, self._table._text
        likely = text.likely_encoding()
        return (
            f"probably {likely}, see {options.say('encoding', likely)}"
            if likely
            else "bytes that are no characters"
        )


class _Whole(bytes):
    """A line whose carriage returns belong to its text."""


def _is_text(value: str) -> bool:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
