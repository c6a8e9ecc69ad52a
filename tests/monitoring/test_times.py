"""Times and durations as people type them: read as what they mean, or refused with one line."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitoring.errors import BadWindow
from monitoring.settings import MonitoringSettings, RetentionSettings
from monitoring.times import (
    EARLIEST,
    LATEST,
    LONGEST,
    SHORTEST,
    before,
    iso,
    moment_of,
    seconds_of,
    since_of,
    span,
)

NOW = 1_764_028_800.0
ANY_TEXT = st.one_of(
    st.text(),
    st.from_regex(r"[0-9]{1,25}(\.[0-9]{1,5})?[smhdw]?"),
    st.from_regex(r"[0-9]{4}-?[0-9W]{2}-?[0-9]{0,2}[T _+-]?[0-9:]{0,8}(Z|[+-][0-9:]{0,5})?"),
)


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [("90s", 90), ("15m", 900), ("24h", 86400), ("7d", 604800), ("1.5H", 5400), (" 2w ", 1209600)],
)
def test_durations(typed: str, seconds: float) -> None:
    assert seconds_of(typed) == seconds


@pytest.mark.parametrize("typed", ["", "h", "24", "-1h", "0s", "1y", "1h30m", "nan", "infd", "1e3s", "٣h"])
def test_what_is_no_duration_is_refused_with_its_value(typed: str) -> None:
    with pytest.raises(BadWindow, match="is not a duration"):
        seconds_of(typed)


@pytest.mark.parametrize("typed", ["9999999d", "36501d", "0.5s", "9" * 400 + "d"])
def test_durations_have_bounds(typed: str) -> None:
    with pytest.raises(BadWindow, match=r"is out of range: give a duration from 1s to 36500d$"):
        seconds_of(typed)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("20261125", "2026-11-25T00:00:00+00:00"),
        ("2026-11-25", "2026-11-25T00:00:00+00:00"),
        ("20261125T0800", "2026-11-25T08:00:00+00:00"),
        ("2026-11-25T08:00Z", "2026-11-25T08:00:00+00:00"),
        ("2026-11-25T08:00+01:00", "2026-11-25T07:00:00+00:00"),
        ("2026-11-25 08:00", "2026-11-25T08:00:00+00:00"),
        ("2026-W48-3", "2026-11-25T00:00:00+00:00"),
        ("2026W48", "2026-11-23T00:00:00+00:00"),
        ("1764028800", "2025-11-25T00:00:00+00:00"),
        ("1764028800.25\n", "2025-11-25T00:00:00+00:00"),
        ("1970-01-01T01:01:00+01:00", "1970-01-01T00:01:00+00:00"),
    ],
)
def test_times_are_utc_unless_they_say_otherwise(typed: str, meant: str) -> None:
    assert iso(moment_of(typed)) == meant


@pytest.mark.parametrize(
    "typed",
    [
        "", "noon", "nan", "inf", "-5", "1e9", "1_764_028_800", "١٧٦٤٠٢٨٨٠٠", "20261325", "2026-02-30",
        "2026-12-31T23:59:60Z", "2026-11-25T08:00+25:00", "2026-11-25+01:00", "2026-11-25-05:00", "2026-329",
        "2026-11-25T08:00 Europe/Berlin",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused_with_its_value(typed: str) -> None:
    with pytest.raises(BadWindow, match="is not a time"):
        moment_of(typed)


@pytest.mark.parametrize(
    ("typed", "unit"),
    [
        ("1764028800000", "milliseconds"),
        ("1764028800000000", "microseconds"),
        ("1764028800000000000", "nanoseconds"),
    ],
)
def test_other_units_of_epoch_time_are_refused_with_seconds(typed: str, unit: str) -> None:
    with pytest.raises(BadWindow, match=f"{unit} since 1970: give seconds, 1764028800 .2025-11-25T"):
        moment_of(typed)


@pytest.mark.parametrize("typed", ["2026", "202611", "60.5", "0"])
def test_numbers_that_may_be_years_are_refused(typed: str) -> None:
    with pytest.raises(BadWindow, match="could be a year"):
        moment_of(typed)


@pytest.mark.parametrize(
    "typed", ["1969-12-31", "0001-01-01T00:00+14:00", "9999-12-31T23:00-14:00", "9" * 5000]
)
def test_times_have_bounds(typed: str) -> None:
    with pytest.raises(BadWindow, match="is out of range"):
        moment_of(typed)


def test_since_and_until_win_over_the_window() -> None:
    day = 86400.0
    assert span("1h", None, None, now=NOW) == (NOW - 3600, NOW)
    assert span("1h", None, "2025-11-24", now=NOW) == (NOW - day - 3600, NOW - day)
    assert span("1h", "2025-11-24", None, now=NOW) == (NOW - day, NOW)
    assert span("1h", "2025-11-23", "2025-11-24", now=NOW) == (NOW - 2 * day, NOW - day)
    with pytest.raises(BadWindow, match="must begin first"):
        span("1h", "2025-11-26", None, now=NOW)
    with pytest.raises(BadWindow, match="is not a time"):
        span("1h", "", None, now=NOW)
    with pytest.raises(BadWindow, match="lies before 1970"):
        span("36500d", None, None, now=NOW)


def refused(read: Callable[[str], float], text: str) -> bool:
    """Whether a text is refused, which must be on one line; what is not is returned within the bounds of times."""
    try:
        iso(min(read(text), LATEST))
    except BadWindow as error:
        said = str(error)
    else:
        return False
    return said.isprintable() and len(said) < 300


@given(ANY_TEXT)
def test_a_text_is_a_duration_within_bounds_or_refused(text: str) -> None:
    assert refused(seconds_of, text) or SHORTEST <= seconds_of(text) <= LONGEST
    assert refused(lambda typed: before(NOW, typed), text) or before(NOW, text) >= EARLIEST


@given(ANY_TEXT)
@example("2026-11-25T00:00:00.0000001")
@example("0" * 10 + "\x1f" * 24 + "\U00010000" * 8)
def test_a_text_is_a_time_within_bounds_or_refused(text: str) -> None:
    assert refused(moment_of, text) or EARLIEST <= moment_of(text) <= LATEST
    assert (
        refused(lambda typed: since_of(typed, now=NOW), text) or EARLIEST <= since_of(text, now=NOW) <= LATEST
    )


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(9999, 12, 29)))
def test_every_time_that_python_prints_is_read(moment: datetime) -> None:
    assert moment_of(moment.isoformat()) == moment.replace(tzinfo=UTC).timestamp()


@given(ANY_TEXT)
def test_every_text_as_a_setting_is_read_or_refused(text: str) -> None:
    for settings, name in (
        (MonitoringSettings, "monitoring_window"),
        (MonitoringSettings, "retrain_cooldown"),
        (MonitoringSettings, "alert_reminder_hours"),
        (RetentionSettings, "retention_days"),
        (RetentionSettings, "retention_rows"),
    ):
        with suppress(ValidationError):
            settings(_env_file=None, **{name: text})


@pytest.mark.parametrize("days", ["9999999", "inf", "nan", "-1", "0", "1e400"])
@pytest.mark.parametrize("name", ["retention_days", "retention_text_days", "retention_sample_days"])
def test_days_of_retention_have_bounds(name: str, days: str) -> None:
    with pytest.raises(ValidationError):
        RetentionSettings(**{name: days})
