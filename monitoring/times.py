"""Durations and times as people type them."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from monitoring.errors import BadWindow

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def seconds_of(duration: str) -> float:
    """Seconds of `90s`, `15m`, `24h`, `7d` or `2w`.

    Raises:
        BadWindow: it is none of these, or zero.
    """
    match = _DURATION.fullmatch(duration.strip().lower())
    if match is None or float(match[1]) == 0:
        raise BadWindow(f"{duration!r} is not a duration: give a number and a unit, like 90s, 15m, 24h or 7d")
    return float(match[1]) * _SECONDS[match[2]]


def moment_of(text: str) -> float:
    """Seconds since the epoch of an ISO 8601 time (UTC unless it says otherwise) or a plain number.

    Raises:
        BadWindow: it is neither.
    """
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadWindow(
            f"{text!r} is not a time: give one like 2026-11-21T08:00 or seconds since 1970"
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def span(window: str, since: str | None, until: str | None, *, now: float) -> tuple[float, float]:
    """First and last moment of a window, in seconds since the epoch.

    `since` and `until` win over `window`; where only one is given, `window` gives the other.

    Raises:
        BadWindow: unreadable, or it ends before it begins.
    """
    last = moment_of(until) if until else None
    first = moment_of(since) if since else None
    if last is None:
        last = now
    if first is None:
        first = last - seconds_of(window)
    if not first < last:
        raise BadWindow(f"the window begins at {iso(first)} and ends at {iso(last)}: it must begin first")
    return first, last


def since_of(text: str, *, now: float) -> float:
    """The moment that `30d` ago was, or the moment that `text` is; seconds since the epoch.

    Raises:
        BadWindow: it is neither a duration nor a time.
    """
    if _DURATION.fullmatch(text.strip().lower()):
        return now - seconds_of(text)
    try:
        return moment_of(text)
    except BadWindow:
        raise BadWindow(
            f"{text!r} is neither a duration nor a time: give one like 30d, or one like 2026-11-21T08:00"
        ) from None


def iso(moment: float) -> str:
    """A moment as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")
