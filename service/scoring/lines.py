"""Text files line by line, plain or gzipped, knowing at every moment how many bytes were used.

The byte count is what makes a job resumable: reading goes on at exactly the row that comes next.
"""

from __future__ import annotations

import gzip
import shutil
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from service.scoring.errors import InputRefused, InputUnreadable

MAX_LINE_BYTES = 64 * 2**20
"""A file that is not made of lines is refused before it fills the memory."""


class Lines(Iterator[str]):
    """The decoded lines of a file from byte `start` on, with their line ends.

    Bytes that the encoding does not know become lone surrogates, so that they can be written back unchanged.
    """

    def __init__(self, path: Path, start: int, encoding: str) -> None:
        self.path = path
        self.encoding = encoding
        self.offset = start
        """Bytes used so far, counted from the beginning of the (unpacked) file."""
        self.number = 0
        """Lines given so far, counted from `start`."""
        self._raw: IO[bytes] = path.open("rb")
        packed = path.suffix == ".gz"
        self._file: IO[bytes] = gzip.GzipFile(fileobj=self._raw) if packed else self._raw  # type: ignore[assignment]
        with _readable(path):
            self._file.seek(start)

    @property
    def position(self) -> int:
        """Bytes read of the file as it lies on the disk."""
        return self.offset if self._file is self._raw else self._raw.tell()

    def __next__(self) -> str:
        with _readable(self.path):
            line = self._file.readline(MAX_LINE_BYTES)
        if not line:
            raise StopIteration
        if len(line) == MAX_LINE_BYTES:
            raise InputUnreadable(f"{self.path} has a line of more than {MAX_LINE_BYTES // 2**20} MiB")
        self.offset += len(line)
        self.number += 1
        text = line.decode(self.encoding, "surrogateescape")
        return text.removeprefix("\ufeff") if self.offset == len(line) else text

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._raw.close()

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_encoding(path: Path, encoding: str) -> None:
    """Raise InputRefused for an encoding whose lines do not end in the byte of a newline, or that Python lacks."""
    try:
        usable = "\n".encode(encoding) == b"\n"
    except LookupError:
        raise InputRefused(f"there is no encoding {encoding!r}") from None
    with path.open("rb") as file:
        wide = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
    if wide or not usable:
        raise InputRefused(
            f"{path} cannot be read as {'UTF-16' if wide else encoding}: make it UTF-8 first "
            f"(iconv -f UTF-16 -t UTF-8 {path.name} > utf8-{path.name})"
        )


def write_text_part(path: Path, lines: Sequence[str]) -> None:
    """Write lines as UTF-8, gzipped where the name says so; surrogates become the bytes that they were."""
    content = "".join(lines).encode("utf-8", "surrogateescape")
    # Without a time in its head, the same rows give the same file.
    path.write_bytes(gzip.compress(content, 6, mtime=0) if path.suffix == ".gz" else content)


def concatenate(parts: Sequence[Path], path: Path) -> None:
    """Join files byte by byte; gzipped files joined are one gzipped file."""
    with path.open("wb") as whole:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, whole, 2**20)


class _readable:
    """Maps what a damaged gzip file raises to InputUnreadable."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, EOFError | gzip.BadGzipFile | zlib.error):
            raise InputUnreadable(f"{self._path} is not a whole gzip file: {error}") from None
