"""Sources: where a prediction or a label comes from. Monitoring and retraining count some of them only.

A request names its source in the header `X-Source`; without one it is `api`. Labels that are given by a command have
the source `file` or `queue`, whatever the predictions they are for.
"""

from __future__ import annotations

import re
from collections.abc import Collection

API, UI, LOAD = "api", "ui", "load"
"""Requests of programs that name no source; the page `/ui`; the load test."""
FILE, QUEUE = "file", "queue"
"""Labels of `python -m monitoring label`, and of `python -m monitoring queue import`."""
PATTERN = "[a-z0-9][a-z0-9_.-]{0,31}"
"""What a source may be called; the columns that hold it have 32 characters."""
TRAFFIC: tuple[str, ...] = (API,)
"""The sources that count by default."""

_NAME = re.compile(PATTERN)
_LABEL_COMMANDS = frozenset({FILE, QUEUE})


def is_source(name: str) -> bool:
    """Whether `name` can be a source."""
    return _NAME.fullmatch(name) is not None


def label_sources(sources: Collection[str]) -> frozenset[str]:
    """The sources of labels that count for predictions of `sources`: the same ones, and the commands for labels.

    A label that the load test gave for a prediction of live traffic is not among them.
    """
    return _LABEL_COMMANDS.union(sources)


def parse_sources(text: str) -> tuple[str, ...]:
    """Sources from a list separated by commas or blanks, each once.

    Raises:
        ValueError: it names none, or one that cannot be a source.
    """
    names = tuple(dict.fromkeys(text.replace(",", " ").split()))
    if not names:
        raise ValueError("name at least one source")
    for name in names:
        if not is_source(name):
            raise ValueError(f"{name!r} is not a source: a source matches {PATTERN}")
    return names
