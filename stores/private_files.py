"""Files for their user only: folders with mode 0700, files with 0600.

Texts, labels and keys are in VAR_DIR. Each command and the service call `stores.settings.private_umask` at their start,
so that files of libraries (MLflow's database and artifacts, SQLite, pictures) are private, too. VAR_PRIVATE=false keeps
the user's umask, for a group or another user who shares the folder.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o700, 0o600
OTHERS = 0o077
_OURS = ("predictions.db", "mlflow.db", "models", "monitoring", "reports", "training", "spool")
"""What an earlier release left in VAR_DIR, by which it is known."""


def make_private_folder(path: Path) -> None:
    """Make a folder and those above it that are missing; those that are made get FOLDER_MODE.

    One that is there already is closed to others only where it is the user's, and holds what this project writes: a
    VAR_DIR such as /tmp or a home must not change.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        with suppress(FileExistsError):  # another process was first
            folder.mkdir(mode=FOLDER_MODE)
    if missing:
        path.mkdir(exist_ok=True)  # raises the error where a file has this name
        return
    path.mkdir(exist_ok=True)
    status = path.stat()
    closed = not status.st_mode & OTHERS
    if (
        closed
        or status.st_uid != os.geteuid()
        or status.st_mode & stat.S_ISVTX
        or path in (Path.home(), Path.cwd())
    ):
        return
    if any((path / name).exists() for name in _OURS):
        with suppress(OSError):
            path.chmod(FOLDER_MODE)


def make_private_file(path: Path) -> None:
    """Make an empty file with FILE_MODE, unless it is there."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))
