"""The log of training (`var/logs/training.log`, one JSON object per line) and the progress bar."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO

from filelock import FileLock
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from stores.logging import JsonFormatter
from training.settings import TrainingSettings

_ROOM = "training"
_BYTES, _FILES = 5_000_000, 5


class SharedFileHandler(RotatingFileHandler):
    """A rotating file that several processes write: one line at a time, into the file that is current for all."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=_BYTES, backupCount=_FILES, encoding="utf-8", delay=True)
        self._turn = FileLock(f"{path}.lock")

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, and begin a new file where this one is full."""
        with self._turn:
            if self.stream is not None and not self._is_current(self.stream):
                self.stream.close()
                self.stream = None
            super().emit(record)

    def _is_current(self, stream: TextIO) -> bool:
        try:
            return os.path.samestat(Path(self.baseFilename).stat(), os.fstat(stream.fileno()))
        except OSError:  # renamed by another process and not written since
            return False


def fields(**values: object) -> dict[str, Any]:
    """Fields of an event, for `extra=`."""
    return {"fields": values}


@contextmanager
def log_to_file(settings: TrainingSettings) -> Iterator[Path]:
    """Send this room's events to the log file, also the error that ends the block; gives the file's path."""
    path = settings.folder("logs") / "training.log"
    handler = SharedFileHandler(path)
    handler.setFormatter(JsonFormatter(process="process"))
    logger = logging.getLogger(_ROOM)
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(settings.training_log_level)
    logger.propagate = False  # the console has its own output
    try:
        yield path
    except Exception as error:
        logger.exception("failed", extra=fields(error=type(error).__name__, message=str(error)))
        raise
    finally:
        logger.removeHandler(handler)
        handler.close()
        logger.level, logger.propagate = before


def training_progress(console: Console) -> Progress:
    """A bar for each task: what, how much of it, for how long, and how long still."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )
