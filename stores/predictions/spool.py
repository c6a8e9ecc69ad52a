"""The spool: predictions in local files while the store is away, in the order in which they were answered.

A record is one line: CRC-32 of the JSON text in eight hexadecimal digits, a blank, the JSON text. A call of `append` is
written with one `write`, flushed to the disk, and only then reported; a process that is killed in between leaves a line
that is incomplete or was never answered. Rows are removed after they were committed to the store, where ids are unique:
a kill between the two means that they are offered to the store again, which has them already.

Each process appends to its own files, which it holds locked; files of processes that have ended are adopted.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import threading
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from stores.errors import SpoolFull, SpoolUnavailable
from stores.predictions.records import Prediction, columns_of

_SUFFIX = ".spool"
_FILES = 8
"""A file holds at most this part of what the spool may hold, so that room is given back while it is replayed."""
_READ_BYTES = 8 * 1024 * 1024
_NAMES = tuple(column.name for column in fields(Prediction))


@dataclass(frozen=True, slots=True)
class SpoolState:
    """What is in a spool."""

    rows: int
    bytes: int
    oldest: float | None
    """When the first of the rows was answered; seconds since the epoch, UTC."""
    damaged: int
    """Records that could not be read, since the process began; their files are kept as `*.damaged`."""


class _File:
    """One file of the spool, locked; read from the front."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor
        self.read = 0
        """Bytes that were replayed."""
        self.size = os.fstat(descriptor).st_size
        self.rows = 0
        """Rows that were not replayed."""
        self.damaged = 0

    def close(self) -> None:
        with suppress(OSError):
            os.close(self.descriptor)


class Spool:
    """Predictions that wait for the store. Thread-safe: one thread appends, another replays.

    Usage::

        spool = Spool(settings.folder("spool"), max_bytes=2**28)
        spool.append([prediction])
        rows = spool.head(500)
        store.add_missing(rows)
        spool.drop()

    Args:
        folder: made if it is missing, for this user only.
        max_bytes: what all files of this process may take together.
    """

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.RLock()
        self._files: list[_File] = []
        self._current: _File | None = None
        self._offered = 0
        self._offered_rows = 0
        self._damaged = 0
        self._oldest: float | None = None

    def adopt(self) -> int:
        """Take over the files of processes that have ended; how many rows they hold.

        Raises:
            SpoolUnavailable: the folder cannot be read.
        """
        adopted = 0
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._lock:
                mine = {file.path for file in self._files}
                for path in sorted(self._folder.glob(f"*{_SUFFIX}")):
                    if path in mine or (file := _locked(path)) is None:
                        continue
                    file.rows = sum(
                        1 for _, row in _records(file.descriptor, 0, file.size) if row is not None
                    )
                    if not file.rows and not _damaged_inside(file):
                        path.unlink(missing_ok=True)
                        file.close()
                        continue
                    adopted += file.rows
                    self._files.append(file)
                self._files.sort(key=lambda file: file.path.name)
                self._oldest = self._first_created_at()
        except OSError as error:
            raise SpoolUnavailable(f"the spool in {self._folder} cannot be read: {error.strerror}") from error
        return adopted

    def append(self, rows: Sequence[Prediction]) -> None:
        """Keep rows, all of them or none; they are on the disk when this returns.

        Raises:
            SpoolFull: they would take more than the bytes allowed.
            SpoolUnavailable: the disk refuses them.
        """
        data = b"".join(map(_record, rows))
        with self._lock:
            if self._bytes() + len(data) > self._max_bytes:
                raise SpoolFull(
                    f"the spool in {self._folder} holds {self._bytes()} bytes, and may hold {self._max_bytes}"
                )
            try:
                file = self._open_current()
                self._write(file, data)
            except OSError as error:
                raise SpoolUnavailable(
                    f"the spool in {self._folder} cannot be written: {error.strerror}"
                ) from error
            file.rows += len(rows)
            if self._oldest is None and rows:
                self._oldest = rows[0].created_at

    def head(self, limit: int) -> list[Prediction]:
        """The oldest rows, at most `limit` of them and about 8 MiB; empty when there are none. `drop` removes them.

        Raises:
            SpoolUnavailable: the disk refuses to hand them out.
        """
        with self._lock:
            try:
                while self._files:
                    file = self._files[0]
                    rows: list[Prediction] = []
                    reached = file.read
                    for reached, row in _records(file.descriptor, file.read, file.size):
                        if row is not None:
                            rows.append(row)
                        elif reached < file.size or file is self._current:
                            file.damaged += 1
                            self._damaged += 1
                        if len(rows) >= limit or reached - file.read > _READ_BYTES:
                            break
                    if rows:
                        self._offered, self._offered_rows = reached, len(rows)
                        return rows
                    file.rows = 0
                    self._remove_first()
            except OSError as error:
                raise SpoolUnavailable(
                    f"the spool in {self._folder} cannot be read: {error.strerror}"
                ) from error
            self._oldest = None
            return []

    def drop(self) -> None:
        """Remove the rows that `head` returned last; they are in the store."""
        with self._lock:
            if not self._offered:
                return
            file = self._files[0]
            file.read = self._offered
            file.rows = max(0, file.rows - self._offered_rows)
            self._offered = self._offered_rows = 0
            if file.read >= file.size:
                self._remove_first()
            self._oldest = self._first_created_at()

    def set_aside(self, rows: Sequence[Prediction]) -> None:
        """Keep rows that the store refuses in a file that is not replayed.

        Raises:
            SpoolUnavailable: the disk refuses them.
        """
        path = self._folder / f"{time.time_ns():020d}-{secrets.token_hex(4)}.refused"
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(b"".join(map(_record, rows)))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SpoolUnavailable(f"{path} cannot be written: {error.strerror}") from error

    @property
    def rows(self) -> int:
        """Rows that wait."""
        with self._lock:
            return sum(file.rows for file in self._files)

    def state(self) -> SpoolState:
        """How full it is."""
        with self._lock:
            return SpoolState(self.rows, self._bytes(), self._oldest, self._damaged)

    def has_room(self) -> bool:
        """Whether a small append would be taken."""
        with self._lock:
            return self._bytes() < self._max_bytes

    def others_wait(self) -> bool:
        """Whether other processes' files may hold rows that wait: those of other workers, or of ones that have ended.

        Raises:
            SpoolUnavailable: the folder cannot be read.
        """
        with self._lock:
            own = {file.path for file in self._files}
        try:
            return any(path not in own and _size(path) for path in self._folder.glob(f"*{_SUFFIX}"))
        except OSError as error:
            raise SpoolUnavailable(f"the spool in {self._folder} cannot be read: {error.strerror}") from error

    def close(self) -> None:
        """Unlock the files; what is in them stays for the next process."""
        with self._lock:
            for file in self._files:
                if not file.rows:
                    file.path.unlink(missing_ok=True)
                file.close()
            self._files, self._current = [], None

    def _bytes(self) -> int:
        return sum(file.size for file in self._files)

    def _first_created_at(self) -> float | None:
        for file in self._files:
            for _, row in _records(file.descriptor, file.read, file.size):
                if row is not None:
                    return row.created_at
        return None

    def _open_current(self) -> _File:
        if self._current is not None and self._current.size >= self._max_bytes // _FILES:
            self._current = None
        if self._current is None:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = self._folder / f"{time.time_ns():020d}-{secrets.token_hex(4)}{_SUFFIX}"
            # Locked under a name that is not adopted, and then renamed.
            unnamed = path.with_suffix(".new")
            descriptor = os.open(unnamed, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                unnamed.rename(path)
                _sync_folder(self._folder)
            except OSError:
                os.close(descriptor)
                unnamed.unlink(missing_ok=True)
                raise
            self._current = _File(path, descriptor)
            self._files.append(self._current)
        return self._current

    def _write(self, file: _File, data: bytes) -> None:
        try:
            if not _is_at(file):
                raise FileNotFoundError(2, "its file was deleted")
            written = 0
            while written < len(data):
                written += os.pwrite(file.descriptor, data[written:], file.size + written)
            os.fsync(file.descriptor)
        except OSError:
            # The caller gets an error, so what was written of these rows must not stay.
            try:
                os.ftruncate(file.descriptor, file.size)
            except OSError:
                self._current = None
            if not _is_at(file):
                self._current = None
                self._files.remove(file)
                file.close()
            raise
        file.size += len(data)

    def _remove_first(self) -> None:
        file = self._files.pop(0)
        if file is self._current:
            self._current = None
        if file.damaged:
            file.path.rename(file.path.with_suffix(".damaged"))
        else:
            file.path.unlink(missing_ok=True)
        file.close()


def _record(row: Prediction) -> bytes:
    body = json.dumps(columns_of(row), ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    return b"%08x %b\n" % (zlib.crc32(body), body)


def _records(descriptor: int, start: int, end: int) -> Iterator[tuple[int, Prediction | None]]:
    """The records from byte `start` on: where each ends, and its row; None: it cannot be read."""
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(start)
        position = start
        while position < end and (line := file.readline(end - position)):
            position += len(line)
            yield position, _row(line)


def _row(line: bytes) -> Prediction | None:
    if not line.endswith(b"\n") or line[8:9] != b" ":
        return None
    body = line[9:-1]
    try:
        if zlib.crc32(body) != int(line[:8], 16):
            return None
        values: dict[str, Any] = json.loads(body)
        # Fields of a newer release are left out, those of an older one have their defaults.
        return Prediction(**{name: values[name] for name in _NAMES if name in values})
    except (ValueError, TypeError):
        return None


def _damaged_inside(file: _File) -> bool:
    """Whether a record before the last one cannot be read; the last one is incomplete after a kill."""
    return any(row is None and end < file.size for end, row in _records(file.descriptor, 0, file.size))


def _locked(path: Path) -> _File | None:
    """An existing file that no other process holds."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    file = _File(path, descriptor)
    if not _is_at(file):  # its owner has replayed it meanwhile
        file.close()
        return None
    return file


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # replayed meanwhile
        return 0


def _is_at(file: _File) -> bool:
    """Whether the open file is the one at its path."""
    try:
        status, own = file.path.stat(), os.fstat(file.descriptor)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == (own.st_dev, own.st_ino)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
