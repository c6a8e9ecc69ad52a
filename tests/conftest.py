"""Fast tests first: a mistake shows in seconds, not behind the journeys."""

from __future__ import annotations

import signal

import pytest

# Started in the background of a script, everything inherits that Ctrl-C is ignored; tests send it on purpose.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Plain tests, then those that train or serve, then whole journeys; within each in the order of the folders."""
    items.sort(
        key=lambda item: 2 * bool(item.get_closest_marker("journey")) + bool(item.get_closest_marker("slow"))
    )
