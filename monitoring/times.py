"""Durations and times as people type them, on the command line and in settings.

Every text is read as what it means, or raises BadWindow with one line; nothing is guessed. All moments lie between
EARLIEST and LATEST and all durations between SHORTEST and LONGEST, so that sums of them can always be computed and
printed.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from monitoring.errors import BadWindow

EARLIEST = 0.0
"""1970-01-01, in seconds since the epoch, UTC."""
LATEST = datetime(9999, 12, 30, tzinfo=UTC).timestamp()
"""Two days before Python's last date, which a time zone may not exceed."""
SHORTEST, LONGEST = 1.0, 36_500 * 86_400.0
"""Seconds."""
WEEK = 7 * 86_400.0
"""Seconds."""

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)([smhdw])")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_BASIC_DATE = re.compile(r"[0-9]{8}")
_ISO = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}|[0-9]{4}-W[0-9]{2}(-[0-9])?|[0-9]{4}W[0-9]{2,3})([Tt ][ -~]+)?"
)
"""Python takes any character between date and time, and so reads the time zone of `2026-11-25+01:00` as a time."""
_ENOUGH_DIGITS = 9
"""Digits before the point from which a plain number is seconds since 1970 (3 March 1973 on). Fewer may be a year, a
month, a day or a typing error."""
_UNITS_OF_EPOCHS = ((1e3, "milliseconds"), (1e6, "microseconds"), (1e9, "nanoseconds"))
_SHOWN = 60


def seconds_of(duration: str) -> float:
    """Seconds of `90s`, `15m`, `24h`, `7d` or `2w`.

    Raises:
        BadWindow: it is none of these, shorter than a second, or longer than 36500 days.
    """
    match = _DURATION.fullmatch(duration.strip().lower())
    if match is None or float(match[1]) == 0:
        raise BadWindow(
            f"{_quoted(duration)} is not a duration: give a number and a unit, like 90s, 15m, 24h or 7d"
        )
    seconds = float(match[1]) * _SECONDS[match[2]]
    if not SHORTEST <= seconds <= LONGEST:
        raise BadWindow(f"{_quoted(duration)} is out of range: give a duration from 1s to 36500d")
    return seconds


def moment_of(text: str) -> float:
    """Seconds since the epoch of an ISO 8601 date or time (UTC unless it says otherwise), or of epoch seconds.

    A date alone is its first moment. Eight digits are a date, as in ISO 8601's basic format; other plain numbers are
    epoch seconds if they have at least nine digits.

    Raises:
        BadWindow: it is neither, or lies outside 1970 to 9999. Epoch milliseconds, microseconds and nanoseconds are
            refused with the seconds that they would be.
    """
    typed = text.strip()
    if _NUMBER.fullmatch(typed) and not _BASIC_DATE.fullmatch(typed):
        return _epoch_seconds(typed)
    try:
        if not _ISO.fullmatch(typed):
            raise ValueError("Invalid isoformat")
        moment = datetime.fromisoformat(typed)
        seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        # Python says which part is out of range, as in "second must be in 0..59".
        why = f" ({error})" if " must be in " in str(error) else ""
        raise BadWindow(
            f"{_quoted(text)} is not a time{why}: give one like 2026-11-21, 2026-11-21T08:00, "
            "2026-11-21T08:00+01:00 or seconds since 1970"
        ) from None
    if not EARLIEST <= seconds <= LATEST:
        raise BadWindow(f"{_quoted(text)} is out of range: give a time between 1970-01-01 and 9999-12-30")
    return seconds


def span(window: str, since: str | None, until: str | None, *, now: float) -> tuple[float, float]:
    """First and last moment of a window, in seconds since the epoch.

    `since` and `until` win over `window`; where only one is given, `window` gives the other.

    Raises:
        BadWindow: unreadable, it ends before it begins, or it begins before 1970.
    """
    last = now if until is None else moment_of(until)
    first = before(last, window) if since is None else moment_of(since)
    if not first < last:
        raise BadWindow(f"the window begins at {iso(first)} and ends at {iso(last)}: it must begin first")
    return first, last


def since_of(text: str, *, now: float) -> float:
    """The moment that `30d` ago was, or the moment that `text` is; seconds since the epoch.

    Raises:
        BadWindow: it is neither a duration nor a time, or the moment lies before 1970.
    """
    if _DURATION.fullmatch(text.strip().lower()):
        return before(now, text)
    try:
        return moment_of(text)
    except BadWindow as error:
        if "is not a time" not in str(error):
            raise
        raise BadWindow(
            f"{_quoted(text)} is neither a duration nor a time: give one like 30d, or one like 2026-11-21T08:00"
        ) from None


def before(moment: float, duration: str) -> float:
    """The moment that lies `duration` before `moment`; seconds since the epoch.

    Raises:
        BadWindow: the duration cannot be read, or the result lies before 1970.
    """
    first = moment - seconds_of(duration)
    if first < EARLIEST:
        raise BadWindow(f"{_quoted(duration)} before {iso(moment)} lies before 1970: give a shorter duration")
    return first


def iso(moment: float) -> str:
    """A moment as ISO 8601 in UTC, to the second."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def _epoch_seconds(typed: str) -> float:
    seconds = float(typed)
    if len(typed.partition(".")[0]) < _ENOUGH_DIGITS:
        raise BadWindow(
            f"{_quoted(typed)} could be a year, a date or seconds since 1970: give a date like 2026-11-21, or seconds "
            f"with at least {_ENOUGH_DIGITS} digits"
        )
    if seconds <= LATEST:
        return seconds
    for factor, name in _UNITS_OF_EPOCHS:
        # Only what would be a time of this century's first half, or so, is offered as an explanation.
        if 1e9 <= seconds / factor < 1e10:
            hint = f"it looks like {name} since 1970: give seconds, {seconds / factor:.0f} ({iso(seconds / factor)})"
            break
    else:
        hint = "give a time between 1970-01-01 and 9999-12-30, like 2026-11-21T08:00"
    raise BadWindow(f"{_quoted(typed)} is out of range: {hint}")


def _quoted(text: str) -> str:
    """The text on one line, printable, and no longer than a line, however its characters are escaped."""
    quoted = ascii(text[: _SHOWN + 1])
    return quoted if len(quoted) <= _SHOWN + 2 else f"{quoted[: _SHOWN - 3]}..."
