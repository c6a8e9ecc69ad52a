"""Fast tests first: a mistake shows in seconds, not behind the journeys. Then the longest: none is left for the end."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

# Started in the background of a script, everything inherits that Ctrl-C is ignored; tests send it on purpose.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_MEMORY = Path("/dev/shm")
_ENOUGH = 8 * 2**30
"""Bytes that have to be free in memory: several times what all tests write."""


def pytest_configure() -> None:
    """Keep what tests write in memory where it has room: MLflow commits a hundred times in a run, each to the disk."""
    if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ENOUGH:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_MEMORY))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Plain tests, then whole journeys, then what else trains or serves; within each in the order of the folders.

    A journey takes minutes: begun last, it would run alone while the other test processes have nothing to do.
    """
    items.sort(key=lambda item: (_is(item, "slow", "journey"), not _is(item, "journey")))


def _is(item: pytest.Item, *markers: str) -> bool:
    """Whether a test bears one of the markers."""
    return any(item.get_closest_marker(name) for name in markers)
