"""Since when: change points over windows that do not overlap."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from monitoring.drift.change_point import change_point, date_changes, non_overlapping
from monitoring.drift.permutation import Score
from monitoring.verdict import Drift, Signal
from stores.predictions.checks import Check
from tests.monitoring.conftest import comparison


def check(
    since: float, value: float, *, status: str = "ok", width: float = 10, version: str = "1", name: str = "a"
) -> Check:
    return Check(
        checked_at=since + width, since=since, until=since + width, model_name="news", model_version=version,
        status=status, summary="", report="", signals={name: {"value": value, "threshold": 0.5, "status": status}},
        accuracy=None, labelled=0,
    )  # fmt: skip


def quiet_sizes(count: int, rng: np.random.Generator) -> list[float]:
    """Changes that chance makes, as multiples of their threshold: a third of it, seldom more than a half."""
    return rng.gamma(6, 0.055, count).tolist()


@pytest.mark.parametrize("later", [[1.1, 1.3, 1.2], [2.5, 13.0], [0.75, 3.0, 13.0], [13.0, 2.0, 1.5]])
def test_a_rise_is_dated_by_its_first_window(later: list[float]) -> None:
    rng = np.random.default_rng(1)
    found = [change_point([*quiet_sizes(12, rng), *later], rng) for _ in range(20)]
    assert found.count(12) >= 18, found


def test_noise_alone_a_fall_and_few_windows_are_no_beginning() -> None:
    rng = np.random.default_rng(1)
    assert change_point([*[2.0] * 9, *quiet_sizes(9, rng)], rng) is None
    alarms = sum(change_point(quiet_sizes(12, rng), rng) is not None for _ in range(200))
    assert alarms <= 20, "at 5 % this many of 200 come once in a thousand"
    assert change_point([0, 0, 0, 9], rng) is None


def test_only_windows_apart_from_one_another_are_compared() -> None:
    windows = [check(float(at), 0.1) for at in range(0, 60, 5)]
    kept = non_overlapping(60.0, windows)
    assert [item.since for item in kept] == [0, 10, 20, 30, 40, 50]


def test_the_breached_signal_is_told_since_when() -> None:
    drift = Drift(
        status="breach", alpha=0.01,
        signals=[
            Signal(name=name, title=name, measure="", status=status, value=0.9, threshold=0.5, floor=0.1,
                   reference_texts=1, window_texts=1, words="")
            for name, status in (("a", "breach"), ("b", "ok"))
        ],
    )  # fmt: skip
    rng = np.random.default_rng(2)
    quiet = [check(10.0 * n, 0.1 + (5 * n % 8) / 1000) for n in range(8)]
    loud = [check(80 + 10.0 * n, 0.8, status="breach") for n in range(4)]
    found = date_changes(drift, 120, [*quiet, *loud], "1", rng).signals
    assert found[0].since is not None
    assert (found[0].since.moment, found[0].since.by) == ("1970-01-01T00:01:20+00:00", "change_point")
    assert found[0].since.windows == 13
    assert found[1].since is None
    few = date_changes(drift, 120, loud[2:], "1", rng).signals[0].since
    assert few is not None
    assert (few.moment, few.by) == ("1970-01-01T00:01:40+00:00", "first_breach")
    new = date_changes(drift, 120, loud[2:], "1", rng, first_prediction=117.0).signals[0].since
    assert new is not None
    assert (new.moment, new.by) == ("1970-01-01T00:01:57+00:00", "first_prediction"), (
        "not before it was served"
    )
    other = date_changes(drift, 120, loud, "2", rng).signals[0].since
    assert other is not None
    assert other.moment == "1970-01-01T00:02:00+00:00", "another version has another reference"


def test_later_checks_of_a_breach_keep_its_moment() -> None:
    rng = np.random.default_rng(3)
    values = comparison(
        "confidence",
        rng.normal(0, 1, 300),
        np.append(rng.normal(0, 1, 60), rng.normal(3, 1, 60)),
        times=[1000.0 + at for at in range(120)],
        score=Score(0.9, 0.001, lambda _: 0.1),
    )
    drift = Drift(
        status="breach", alpha=0.01,
        signals=[Signal(name="confidence", title="", measure="", status="breach", value=0.9, threshold=0.5, floor=0.1,
                        reference_texts=1, window_texts=1, words="")],
    )  # fmt: skip
    first = date_changes(drift, 1000, [], "1", rng, comparisons=[values]).signals[0].since
    assert first is not None
    assert first.by == "within_window"
    assert abs(datetime.fromisoformat(first.moment).timestamp() - 1060) <= 3
    # The next windows overlap the first one, and begin after the change.
    noted = check(1000, 0.9, status="breach", width=120, name="confidence")
    noted.signals["confidence"]["since"] = first.moment  # type: ignore[index]
    unsure = check(1050, 0.9, status="insufficient_data", width=120, name="confidence")
    later = date_changes(drift, 1100, [noted, unsure], "1", rng).signals[0].since
    assert later is not None
    assert (later.moment, later.by) == (first.moment, "within_window")
    ended = check(1060, 0.1, width=120, name="confidence")
    again = date_changes(drift, 1300, [noted, ended], "1", rng).signals[0].since
    assert again is not None
    assert (again.moment, again.by) == ("1970-01-01T00:21:40+00:00", "first_breach")
