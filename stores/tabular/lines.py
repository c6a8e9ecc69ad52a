"""The bytes of a text file, uncompressed, cut into lines; memory is bounded whatever the file holds.

`TextFile` knows how a file is stored (gzip, encoding, line ends), `Lines` reads it from a byte on.
"""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from stores.tabular.encoding import Encoding, find_encoding, likely_encoding
from stores.tabular.errors import TableDamaged
from stores.tabular.limits import BLOCK_BYTES, MAX_LINE_BYTES, MAX_ROW_BYTES, SAMPLE_BYTES
from stores.tabular.options import TableOptions

GZIP_MAGIC = b"\x1f\x8b"
_KEPT_OF_OVERLONG = 1024


class OverlongLine(bytes):
    """The beginning of a line of more than MAX_ROW_BYTES; the rest was read and dropped."""

    size: int
    """Bytes of the whole line."""


class TextFile:
    """How a text file is stored: compressed or not, in which encoding, with which line ends."""

    def __init__(self, path: Path, options: TableOptions) -> None:
        self.path = path
        with path.open("rb") as file:
            self.is_packed = file.read(2) == GZIP_MAGIC
        self.total = path.stat().st_size
        with self.open_raw() as (_, stream), readable(path):
            head = stream.read(SAMPLE_BYTES)
        self.encoding: Encoding = find_encoding(head, options.encoding)
        self.line_encoding = self.encoding.name if self.encoding.is_bytewise else "utf-8"
        """Encoding of the lines that `Lines` gives."""
        self.begin = self.encoding.mark if self.encoding.is_bytewise else 0
        """Offset behind the byte order mark."""
        self.returns_end_lines = False
        lines = Lines(self, self.begin)
        try:
            self.head = lines.read_head()
        finally:
            lines.close()
        self.returns_end_lines = b"\n" not in self.head and b"\r" in self.head
        """Whether a carriage return alone ends a line, because no line feed does."""

    @contextmanager
    def open_raw(self) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
        """The file, and the stream of its uncompressed bytes."""
        with self.path.open("rb") as raw:
            yield raw, gzip.GzipFile(fileobj=raw) if self.is_packed else raw  # type: ignore[misc]

    def sample(self) -> tuple[list[bytes], bool]:
        """The first lines, SAMPLE_BYTES of them at most, and whether they are all."""
        lines = Lines(self, self.begin)
        found: list[bytes] = []
        size = 0
        try:
            while size < SAMPLE_BYTES:
                more = lines.read()
                if not more:
                    return found, True
                found += more
                size += sum(map(len, more))
        finally:
            lines.close()
        return found, False

    def likely_encoding(self) -> str | None:
        """A guess at the encoding, for a message, where the beginning of the file is not what it is read as."""
        return likely_encoding(self.head)


class Lines:
    """Lines of a text file from byte `start` of the uncompressed file on, as bytes with their line ends."""

    def __init__(self, file: TextFile, start: int) -> None:
        self._text = file
        self._context = file.open_raw()
        self._raw, self._stream = self._context.__enter__()
        self._direct = self._stream is self._raw and file.encoding.is_bytewise
        self._decoder: codecs.IncrementalDecoder | None = None
        if not file.encoding.is_bytewise:
            self._decoder = codecs.getincrementaldecoder(file.encoding.name)("surrogatepass")
            with readable(file.path):
                self._stream.seek(file.encoding.mark)
            self._ahead = b""
            self._discard(start)
        else:
            with readable(file.path):
                self._stream.seek(start)
        self._rest: list[bytes] = []
        self._held = 0
        self._dropped = 0
        self.holds_lone_returns = False
        """Whether the lines that were read last hold carriage returns that end no line."""

    def read_head(self) -> bytes:
        """The first SAMPLE_BYTES."""
        blocks, size = [], 0
        while size < SAMPLE_BYTES and (block := self.block()):
            blocks.append(block)
            size += len(block)
        return b"".join(blocks)[:SAMPLE_BYTES]

    def read(self) -> list[bytes]:
        """The next lines, some 256 KiB of them; empty at the end.

        Raises:
            TableDamaged: a gzip file breaks off, or a line is longer than MAX_LINE_BYTES.
        """
        while True:
            block = self.block()
            if not block:
                last = self._taken(b"")
                return [last] if last else []
            end = block.rfind(b"\n") + 1
            if self._text.returns_end_lines:
                while block.endswith(b"\r") and (one := self.block(1)):  # it may be half of a CRLF
                    block += one
                end = max(end, block.rfind(b"\n") + 1, block.rfind(b"\r") + 1)
            if not end:
                self._hold(block)
                continue
            return self._cut(block, end)

    def on_disk(self, offset: int) -> int:
        """Bytes of the file on the disk that were read for `offset` bytes of the uncompressed one."""
        return offset if self._direct else self._raw.tell()

    def close(self) -> None:
        """Close the file."""
        self._context.__exit__(None, None, None)

    def _cut(self, block: bytes, end: int) -> list[bytes]:
        first: list[bytes] = []
        if self._dropped:
            lone = self._text.returns_end_lines
            line_end = min(at for at in (block.find(b"\n"), block.find(b"\r") if lone else -1) if at >= 0) + 1
            if lone and block[line_end - 1 : line_end + 1] == b"\r\n":
                line_end += 1
            first, block, end = [self._taken(block[:line_end])], block[line_end:], end - line_end
        whole = self._taken(block[:end])
        if end < len(block):
            self._hold(block[end:])
        return first + self._split(whole)

    def _split(self, whole: bytes) -> list[bytes]:
        self.holds_lone_returns = False
        if self._text.returns_end_lines or b"\r" not in whole or whole.count(b"\r") == whole.count(b"\r\n"):
            return whole.splitlines(keepends=True)
        self.holds_lone_returns = True
        lines = [line + b"\n" for line in whole.split(b"\n")]
        lines[-1] = lines[-1][:-1]
        return lines if lines[-1] else lines[:-1]

    def _hold(self, block: bytes) -> None:
        """Keep the beginning of a line until its end is read; past MAX_ROW_BYTES drop what comes."""
        self._held += len(block)
        if self._dropped or self._held > MAX_ROW_BYTES:
            if not self._dropped:
                self._rest = [b"".join(self._rest)[:_KEPT_OF_OVERLONG]]
            self._dropped = self._held
            if self._dropped > MAX_LINE_BYTES:
                raise TableDamaged(
                    f"{self._text.path} has a line of more than {MAX_LINE_BYTES // 2**20} MiB: it is not made of rows"
                )
        else:
            self._rest.append(block)

    def _taken(self, end: bytes) -> bytes:
        """What was held, with the end of its line."""
        held, size, dropped = b"".join([*self._rest, end]), self._held + len(end), self._dropped
        self._rest, self._held, self._dropped = [], 0, 0
        if not dropped:
            return held
        line = OverlongLine(held[:_KEPT_OF_OVERLONG])
        line.size = size
        return line

    def block(self, size: int = BLOCK_BYTES) -> bytes:
        """The next bytes, whether or not a line ends with them; empty at the end."""
        if self._decoder is None:
            with readable(self._text.path):
                return self._stream.read(size)
        if self._ahead:
            block, self._ahead = self._ahead[:size], self._ahead[size:]
            return block
        while True:
            with readable(self._text.path):
                raw = self._stream.read(BLOCK_BYTES)
            if not raw and not self._decoder.getstate()[0]:
                return b""
            self._ahead = self._transcoded(raw)
            if self._ahead:
                return self.block(size)

    def _transcoded(self, raw: bytes) -> bytes:
        assert self._decoder is not None
        try:
            return self._decoder.decode(raw, not raw).encode("utf-8", "surrogatepass")
        except UnicodeDecodeError:
            # Half a character at the end, or bytes that are none: a byte that is not UTF-8 marks the place.
            pending = self._decoder.getstate()[0] + raw
            self._decoder.reset()
            odd = len(pending) % 4 if raw and self._text.encoding.name.startswith(("utf-16", "utf-32")) else 0
            if odd:  # the next block completes it
                self._decoder.setstate((pending[-odd:], 0))
                pending = pending[:-odd]
            marked = pending.decode(self._text.encoding.name, "replace").replace("\ufffd", "\udcff")
            return marked.encode("utf-8", "surrogateescape")

    def _discard(self, size: int) -> None:
        while size > 0 and (block := self.block(min(size, BLOCK_BYTES))):
            size -= len(block)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise TableDamaged for what a damaged gzip file raises."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise TableDamaged(f"{path} is not a whole gzip file: {error}") from None
