"""What takes seconds to make, made once for all processes of a test run."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

_ADDRESS = "CHAMPION_TESTS_SHARED"
"""Variable with the folder of the test run; pytest's workers and the commands that tests start inherit it."""


@lru_cache(maxsize=1)
def shared_folder() -> Path:
    """Folder of this test run; made, and removed at exit, by the process that asks first."""
    if _ADDRESS not in os.environ:
        folder = tempfile.mkdtemp(prefix="champion-tests-", dir=os.environ.get("PYTEST_DEBUG_TEMPROOT"))
        os.environ[_ADDRESS] = folder
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(os.environ[_ADDRESS])


def made_once(name: str, make: Callable[[Path], object], *options: object) -> Path:
    """The folder that `make` wrote in this test run; to be read and copied, never changed.

    Args:
        name: what it is; part of a file name.
        make: gets the path of a folder that does not exist yet.
        options: everything else that the content depends on, of types whose `repr` tells values apart.
    """
    digest = hashlib.sha256(repr(options).encode()).hexdigest()[:16]
    folder = shared_folder() / f"{name}-{digest}"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            making = folder.with_suffix(".making")
            shutil.rmtree(making, ignore_errors=True)  # of a process that failed or was killed
            make(making)
            making.rename(folder)
    return folder
