"""Fast tests first: a mistake shows in seconds, not behind the journeys."""

from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Plain tests, then those that train or serve, then whole journeys; within each in the order of the folders."""
    items.sort(
        key=lambda item: 2 * bool(item.get_closest_marker("journey")) + bool(item.get_closest_marker("slow"))
    )
