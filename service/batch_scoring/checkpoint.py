"""Checkpoints next to the output: numbered parts and `progress.json`, safe against a kill at any moment.

A part is written, synced and renamed before `progress.json` counts it; parts that are not counted are written again. So
no row is lost or duplicated, wherever the process dies.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from service.batch_scoring.errors import OutputRefused, ResumeRefused

_HEAD_BYTES = 2**20
_PROGRESS = "progress.json"


@dataclass(frozen=True, slots=True)
class Progress:
    """Content of `progress.json`."""

    job: dict[str, Any]
    """What the job is: fingerprint of the input, model, options. Work is resumed only for the same job."""
    parts: int = 0
    rows: int = 0
    start: dict[str, Any] = field(default_factory=dict)
    """Where the next chunk starts, as `Position.as_dict` gives it; empty: the beginning."""
    position: int = 0
    """How far into `Table.total` the parts reach."""
    problems: dict[str, int] = field(default_factory=dict)
    """Why rows were not scored → how many."""
    lines: dict[str, int] = field(default_factory=dict)
    """What the lines of the input are, as `LineCounts` has it, once it was read to its end."""
    notes: list[str] = field(default_factory=list)
    """Sentences about how the input was read."""
    assembled: bool = False
    """The whole output has been written, and only its last renaming is left."""


class PartsFolder:
    """`OUTPUT.parts`, held by one process at a time.

    Usage::

        with PartsFolder(output, job, restart=False) as parts:
            for chunk in table.chunks(start):
                parts.add(lambda path: table.write_part(path, chunk, added), rows=len(chunk.texts), ...)
            parts.finish(table.assemble, output)
    """

    def __init__(self, output: Path, job: dict[str, Any], *, restart: bool) -> None:
        self.folder = output.with_name(f"{output.name}.parts")
        self._suffix = "".join(output.suffixes[-2:] if output.suffix == ".gz" else output.suffixes[-1:])
        self._restart = restart
        self.progress = Progress(job)
        self._lock = FileLock(f"{self.folder}.lock")

    def __enter__(self) -> PartsFolder:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise OutputRefused(f"another process is writing into {self.folder}: wait for it") from None
        try:
            if self._restart:
                shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(exist_ok=True)
            if (found := self._read()) is not None:
                self._check_same_job(found.job)
                self.progress = found
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if not self.folder.exists():  # finished: leave nothing behind
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()

    def add(
        self,
        write: Callable[[Path], None],
        *,
        rows: int,
        start: dict[str, Any],
        position: int,
        problems: dict[str, int],
    ) -> None:
        """Write the next part with `write`, then count it."""
        path = self._part(self.progress.parts)
        fresh = path.with_name(f"new-{path.name}")
        write(fresh)
        _rename_durably(fresh, path)
        done = self.progress
        counted = dict(done.problems)
        for problem, count in problems.items():
            counted[problem] = counted.get(problem, 0) + count
        self._note(
            replace(
                done,
                parts=done.parts + 1,
                rows=done.rows + rows,
                start=start,
                position=position,
                problems=counted,
            )
        )

    def account(self, lines: dict[str, int], notes: list[str]) -> None:
        """Note what the input was, once it was read to its end."""
        self._note(replace(self.progress, lines=lines, notes=notes))

    def finish(self, assemble: Callable[[list[Path], Path], None], output: Path) -> None:
        """Put the parts together, give the whole its name, and remove the parts."""
        whole = self.folder / f"whole{self._suffix}"
        if not (self.progress.assembled and not whole.exists() and output.exists()):
            files = [self._part(number) for number in range(self.progress.parts)]
            if lost := [file for file in files if not file.is_file()]:
                raise ResumeRefused(f"{lost[0]} is gone: start again with --restart")
            assemble(files, whole)
            _flush(whole)
            self._note(replace(self.progress, assembled=True))
            _rename_durably(whole, output)
        shutil.rmtree(self.folder)

    def _part(self, number: int) -> Path:
        return self.folder / f"part-{number:06d}{self._suffix}"

    def _read(self) -> Progress | None:
        path = self.folder / _PROGRESS
        try:
            return Progress(**json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise ResumeRefused(f"{path} is not readable ({error}): start again with --restart") from None

    def _check_same_job(self, found: dict[str, Any]) -> None:
        for name, value in self.progress.job.items():
            if found.get(name) != value:
                raise ResumeRefused(
                    f"{self.folder} holds unfinished work with another {name}: {_shown(found.get(name))}, "
                    f"now {_shown(value)}. Go on as it was begun, or start again with --restart"
                )

    def _note(self, progress: Progress) -> None:
        fresh = self.folder / f"new-{_PROGRESS}"
        fresh.write_text(json.dumps(asdict(progress), indent=1), encoding="utf-8")
        _rename_durably(fresh, self.folder / _PROGRESS)
        self.progress = progress


def was_finished(output: Path) -> bool:
    """Whether `output` is whole, and only the removal of its parts was cut off."""
    folder = output.with_name(f"{output.name}.parts")
    try:
        noted = json.loads((folder / _PROGRESS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return bool(noted.get("assembled")) and output.exists() and not any(folder.glob("whole*"))


def fingerprint(path: Path) -> dict[str, Any]:
    """Size, time of change and SHA-256 of the first mebibyte of a file: a changed input does not pass for the old."""
    stat = path.stat()
    with path.open("rb") as file:
        head = hashlib.sha256(file.read(_HEAD_BYTES)).hexdigest()
    return {"bytes": stat.st_size, "changed_ns": stat.st_mtime_ns, "head_sha256": head}


def _shown(value: Any) -> str:
    return (
        ", ".join(f"{key} {part}" for key, part in value.items()) if isinstance(value, dict) else repr(value)
    )


def _rename_durably(fresh: Path, path: Path) -> None:
    _flush(fresh)
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name, too, must survive
    finally:
        os.close(folder)


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
