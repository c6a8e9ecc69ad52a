"""Checking again and again, until told to stop."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

logger = logging.getLogger("monitoring")


def repeat(
    check: Callable[[], object], every: float, stop: threading.Event, failures: tuple[type[Exception], ...]
) -> int:
    """Call `check` every `every` seconds until `stop` is set; returns how often it was called.

    One of `failures` is logged and does not end the watch: a registry that is away today answers tomorrow. A check
    that takes longer than `every` delays the next one; checks never overlap.
    """
    calls = 0
    due = time.monotonic()
    while not stop.is_set():
        try:
            check()
        except failures as error:
            logger.error("check_failed", extra={"fields": {"reason": str(error)}})
        calls += 1
        due = max(due + every, time.monotonic())
        stop.wait(max(0.0, due - time.monotonic()))
    return calls


@contextmanager
def stopped_by_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; the check that is running is finished first."""
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
