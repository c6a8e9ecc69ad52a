"""Fast tests first: a mistake shows in seconds, not behind the journeys. Then the longest: none is left for the end."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.support.once import shared_folder

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
    shared_folder()  # before workers start, so that they inherit it


_TESTS = Path(__file__).parent

_SHARED = ("first_run", "limited_server")
"""Fixtures that take seconds to make and serve several files: a trained run, and a service with small limits."""

_LONGEST = (
    "test_kept_after_failure.py", "test_promotion_races.py", "test_hub_experiments.py", "test_workers.py",
    "test_run.py",
)  # fmt: skip
"""Files of slow tests that take more than a minute."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Plain tests, then whole journeys, then the longest and the other files of tests that train or serve.

    A file that takes minutes, begun last, would run alone while the other test processes have nothing to do. A test
    process gets whole groups: a file, or all files that use the same costly fixture, so that it is made once.
    """
    items.sort(key=_place)
    shared = {item.path: fixture for item in items for fixture in _SHARED if fixture in _fixtures(item)}
    for item in items:
        group = shared.get(item.path) or item.path.relative_to(_TESTS).as_posix()
        item.add_marker(pytest.mark.xdist_group(group))


def _place(item: pytest.Item) -> tuple[bool, bool, bool]:
    """Where a test comes; equal ones stay in the order of the folders."""
    slow = _is(item, "slow", "journey")
    return slow, not _is(item, "journey"), slow and item.path.name not in _LONGEST


def _is(item: pytest.Item, *markers: str) -> bool:
    """Whether a test bears one of the markers."""
    return any(item.get_closest_marker(name) for name in markers)


def _fixtures(item: pytest.Item) -> list[str]:
    """Names of all fixtures of a test, those of its fixtures included."""
    return list(getattr(item, "fixturenames", ()))
