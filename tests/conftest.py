"""Fast tests first: a mistake shows in seconds, not behind the journeys. Then the longest: none is left for the end."""

from __future__ import annotations

import signal

import pytest

# Started in the background of a script, everything inherits that Ctrl-C is ignored; tests send it on purpose.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Plain tests, then whole journeys, then what else trains or serves; within each in the order of the folders.

    A journey takes minutes: begun last, it would run alone while the other test processes have nothing to do.
    """
    items.sort(key=lambda item: (_is(item, "slow", "journey"), not _is(item, "journey")))


def _is(item: pytest.Item, *markers: str) -> bool:
    """Whether a test bears one of the markers."""
    return any(item.get_closest_marker(name) for name in markers)
