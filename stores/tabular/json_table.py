"""JSON lines (one object a line), and JSON as one array or as objects over several lines."""

from __future__ import annotations

import itertools
import json
import re
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from stores.tabular.errors import TableDamaged, TableRefused
from stores.tabular.limits import CHUNK_BYTES, CHUNK_ROWS, MAX_ROW_BYTES
from stores.tabular.lines import Lines, OverlongLine, TextFile
from stores.tabular.options import TableOptions
from stores.tabular.table import Chunk, LineCounts, Position, Table

UNREAD_KEY = "unread"
"""Key under which a row that is no JSON object keeps its text."""
OVERLONG = f"row is longer than {MAX_ROW_BYTES // 2**20} MiB"
NOT_JSON = "row is not JSON"
NOT_AN_OBJECT = "row is not a JSON object"
_DECODER = json.JSONDecoder()
_WHITE = " \t\r\n"
_LONGEST_UNREAD = 1_000_000
_ROWS_FOR_COLUMNS = 1000
_DUPLICATE = "key {!r} is there twice"


class Found(NamedTuple):
    """One element of a file, or what stands between two."""

    row: dict[str, Any] | None
    """None for a blank line."""
    problem: str | None
    lines: int
    """Lines (of JSON lines) or elements that it takes."""
    end: int
    """Offset behind it."""


def open_json(path: Path, options: TableOptions, name: str) -> JsonTable:
    """JSON lines where each of the first lines is an object, else an array or objects over several lines.

    Raises:
        TableRefused: it is none of these.
    """
    text = TextFile(path, options)
    lines = [line for line in text.head.splitlines() if line.strip()]
    if not lines:
        raise TableRefused(f"{path} has no rows")
    first, second = lines[0].strip(), lines[1].strip() if len(lines) > 1 else b""
    # A row of JSON lines may be a list (and is refused), but a file that is one list is an array.
    if first.startswith(b"[") and not (first.endswith(b"]") and second.startswith((b"{", b"["))):
        return JsonArrayTable(path, text, options)
    if first.startswith(b"{") and not _is_json(first) and not _is_json(second):
        if len(lines) > 1:
            return JsonObjectsTable(path, text, options)
    elif not any(line.lstrip().startswith(b"{") for line in lines):
        raise TableRefused(
            f"{path} is not {name}: it begins with {first[:40].decode('utf-8', 'replace')!r}. JSON lines are needed: "
            'one object a line, such as {"text": "…", "label": "…"}'
        )
    return JsonLinesTable(path, text, options)


class JsonTable(Table):
    """A file of JSON objects; the columns are the keys of the first thousand of them."""

    def __init__(self, path: Path, text: TextFile, options: TableOptions, format_name: str) -> None:
        self._text = text
        self._options = options
        super().__init__(path, format_name, (), text.total)
        found = itertools.islice(self._found(text.begin), _ROWS_FOR_COLUMNS)
        keys = dict.fromkeys(
            key for item in found if item.row is not None and item.problem is None for key in item.row
        )
        self.columns = list(keys)

    def chunks(
        self,
        start: Position | None = None,
        *,
        needed: Sequence[int] = (),
        only_needed: bool = False,  # noqa: ARG002
        chunk_rows: int = CHUNK_ROWS,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> Iterator[Chunk]:
        """Rows as dictionaries; a row that is no object is `{"unread": its text}`."""
        at = start if start is not None and start.offset else Position(self._text.begin)
        self.counts = at.counts
        names = [self.columns[index] for index in needed]
        rows: list[dict[str, Any]] = []
        lines: list[int] = []
        problems: list[str | None] = []
        counts, begun, blank, continuation = at.counts, at.offset, 0, 0
        line = counts.lines

        def counted(refused: int) -> LineCounts:
            return counts.plus(
                lines=line - counts.lines,
                rows=len(rows) - refused,
                refused=refused,
                blank=blank,
                continuation=continuation,
            )

        for found in self._found(at.offset):
            if found.row is None:
                blank += 1
                line += found.lines
                continue
            problem = found.problem or _invalid(found.row, names)
            rows.append(found.row)
            problems.append(problem)
            lines.append(line + 1)
            line += found.lines
            continuation += found.lines - 1
            if len(rows) >= chunk_rows or found.end - begun >= chunk_bytes:
                self.counts = counted(sum(map(bool, problems)))
                end = Position(found.end, self.counts)
                yield _JsonChunk(
                    self.columns, counts.seen + 1, rows, lines, problems, end, self._on_disk(found.end)
                )
                rows, lines, problems = [], [], []
                counts, begun, blank, continuation = self.counts, found.end, 0, 0
        self.counts = counted(sum(map(bool, problems)))
        if rows:
            end = Position(self._offset, self.counts)
            yield _JsonChunk(self.columns, counts.seen + 1, rows, lines, problems, end, self.total)

    @abstractmethod
    def _found(self, start: int) -> Iterator[Found]:
        """The elements from a byte on; `_offset` is where the latest ends, `_lines` what they are read from."""

    def _on_disk(self, offset: int) -> int:
        return self._lines.on_disk(offset)

    _lines: Lines
    _offset: int = 0


class _JsonChunk(Chunk):
    __slots__ = ()

    def column(self, index: int) -> list[Any]:
        """The values of a key; None where an object lacks it."""
        name = self.columns[index]
        return [row.get(name) for row in self.rows]


class JsonLinesTable(JsonTable):
    """One object a line; blank lines are no rows, and objects need not have the same keys."""

    def __init__(self, path: Path, text: TextFile, options: TableOptions) -> None:
        super().__init__(path, text, options, "JSON lines")
        if not self.columns:
            raise TableRefused(
                f"{path} has no JSON object in its first lines: JSON lines are needed, one object a line"
            )

    def _found(self, start: int) -> Iterator[Found]:
        self._lines = lines = Lines(self._text, start)
        self._offset = start
        encoding = self._text.line_encoding
        try:
            while more := lines.read():
                for raw in more:
                    if isinstance(raw, OverlongLine):
                        self._offset += raw.size
                        yield Found({UNREAD_KEY: ""}, OVERLONG, 1, self._offset)
                        continue
                    self._offset += len(raw)
                    if not raw.strip():
                        yield Found(None, None, 1, self._offset)
                        continue
                    row, problem = _parsed(raw, encoding)
                    yield Found(row, problem, 1, self._offset)
        finally:
            lines.close()


class _Elements(JsonTable):
    """Objects that are found by their braces."""

    _TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["{}\[\],]', re.DOTALL)
    _in_array: bool

    def _found(self, start: int) -> Iterator[Found]:
        self._lines = lines = Lines(self._text, start)
        self._offset = start
        try:
            yield from self._elements(lines, is_begin=start == self._text.begin)
        finally:
            lines.close()

    def _elements(self, lines: Lines, *, is_begin: bool) -> Iterator[Found]:
        buffer = b""
        if self._in_array and is_begin:
            buffer = self._more(lines, b"")
            opened = buffer.index(b"[") + 1
            buffer, self._offset = buffer[opened:], self._offset + opened
        while True:
            begin, at, depth, end, done = 0, 0, 0, -1, False
            while end < 0:
                match = self._TOKEN.search(buffer, at)
                if match is None or (match[0] == b'"'):
                    resume = match.start() if match else len(buffer)
                    more = self._more(lines, buffer)
                    if len(more) == len(buffer):
                        done = True
                        break
                    buffer, at = more, resume
                    continue
                token, at = match[0], match.end()
                if token in b"{[":
                    if not depth and not self._in_array:
                        begin = match.start()
                    depth += 1
                elif token in b"}]":
                    if not depth:
                        if self._in_array and token == b"]":
                            done, end = True, match.start()
                            break
                        continue
                    depth -= 1
                    if not depth and not self._in_array:
                        end = at
                elif token == b"," and not depth and self._in_array:
                    end = match.start()
                if at - begin > MAX_ROW_BYTES:
                    raise TableDamaged(
                        f"{self.path}: the object behind byte {self._offset} is longer than "
                        f"{MAX_ROW_BYTES // 2**20} MiB"
                    )
            if done and end < 0:
                if buffer.strip():
                    raise TableDamaged(f"{self.path} breaks off in the object behind byte {self._offset}")
                return
            content = buffer[begin:end].strip()
            used = end + (1 if self._in_array else 0)
            buffer, self._offset = buffer[used:], self._offset + used
            if content:
                yield Found(*_parsed(content, self._text.line_encoding), 1, self._offset)
            elif not done:
                yield Found({UNREAD_KEY: ""}, NOT_JSON, 1, self._offset)
            if done:
                if buffer.strip() or self._more(lines, b"").strip():
                    raise TableDamaged(f"{self.path} has more text behind its array, at byte {self._offset}")
                return

    def _more(self, lines: Lines, buffer: bytes) -> bytes:
        return buffer + lines.block()


class JsonArrayTable(_Elements):
    """A file that is one array of objects."""

    _in_array = True

    def __init__(self, path: Path, text: TextFile, options: TableOptions) -> None:
        super().__init__(path, text, options, "JSON")


class JsonObjectsTable(_Elements):
    """Objects one after another, over several lines each."""

    _in_array = False

    def __init__(self, path: Path, text: TextFile, options: TableOptions) -> None:
        super().__init__(path, text, options, "JSON")


class _DuplicateKey(ValueError):
    pass


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return False
    return True


def _parsed(raw: bytes, encoding: str) -> tuple[dict[str, Any], str | None]:
    text = raw.decode(encoding, "surrogateescape").strip(_WHITE)
    try:
        row, end = _DECODER.raw_decode(text)
        if end != len(text):
            return _unread(text), NOT_JSON
        if type(row) is dict and text.count('":') == len(row):
            return row, None
        row = json.loads(text, object_pairs_hook=_object)  # an object in it may have a key twice
    except _DuplicateKey as error:
        return _unread(text), _DUPLICATE.format(str(error)[:40])
    except (ValueError, RecursionError):
        return _unread(text), NOT_JSON
    if not isinstance(row, dict):
        return _unread(text), NOT_AN_OBJECT
    return row, None


def _unread(text: str) -> dict[str, Any]:
    return {UNREAD_KEY: text.rstrip("\r\n")[:_LONGEST_UNREAD]}


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKey(key)
            seen.add(key)
    return row


def _invalid(row: dict[str, Any], names: Sequence[str]) -> str | None:
    for name in names:
        value = row.get(name)
        if type(value) is str and not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                return f"{name[:40]} is not valid Unicode"
    return None
