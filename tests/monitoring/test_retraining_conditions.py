"""When a breach may lead to a retraining: k of n windows, a cool-down, enough labels; and what is run then."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pandas as pd
import pytest
from pydantic import ValidationError

from monitoring.champion import live_reference
from monitoring.retraining import (
    BreachedWindows,
    breached_windows,
    command_of,
    cooled_down,
    enough_breaches,
    enough_labels,
    follows_alias,
)
from monitoring.settings import MonitoringSettings
from monitoring.verdict import WatchedModel
from stores.predictions.checks import Check
from training.experiment.loader import load_experiment

HOUR = 3600.0


def check(
    at: float, status: str, *, width: float = 10, version: str = "2", retrained_at: float | None = None,
    retrain_status: int | None = None,
) -> Check:  # fmt: skip
    return Check(
        checked_at=at + width, since=at, until=at + width, model_name="news", model_version=version, status=status,
        summary="", report="", signals={}, accuracy=None, labelled=0, retrained_at=retrained_at,
        retrain_status=retrain_status,
    )  # fmt: skip


def retrained(hour: float, status: int | None) -> Check:
    return check(0, "breach", retrained_at=hour * HOUR, retrain_status=status)


def counted(*before: Check, count: int = 3) -> tuple[int, int, float]:
    found = breached_windows(check(100, "breach"), before, count)
    return found.breached, found.looked_at, found.since


def test_breaches_are_counted_in_windows_that_do_not_overlap() -> None:
    assert counted() == (1, 1, 100)
    assert counted(check(95, "breach"), check(91, "breach")) == (1, 1, 100), "they overlap: one window"
    assert counted(check(80, "breach"), check(90, "ok")) == (2, 3, 80)
    assert counted(check(70, "breach"), check(80, "ok"), check(90, "ok")) == (1, 3, 100)
    assert counted(check(80, "breach"), check(90, "insufficient_data")) == (2, 2, 80), "it says nothing"
    assert counted(check(80, "breach", version="1"), check(90, "breach", version="1")) == (1, 1, 100)


def test_a_window_that_was_only_slow_does_not_count() -> None:
    slow = replace(check(90, "breach"), latency_only=True, signals={"confidence": {"status": "ok"}})
    assert counted(check(80, "breach"), slow) == (2, 3, 80)
    assert counted(slow) == (1, 2, 100), "the breach begins after it"
    alone = replace(slow, signals={"confidence": {"status": "insufficient_data"}})
    assert counted(check(80, "breach"), alone) == (2, 2, 80), "nothing was known of the traffic"


def test_a_breach_begins_with_its_unbroken_run_of_windows() -> None:
    run = [check(at, "breach") for at in (60, 70, 80, 90)]
    assert counted(check(50, "ok"), *run, count=2) == (2, 2, 60)


def test_each_condition_states_its_value_and_setting() -> None:
    settings = MonitoringSettings(retrain_cooldown="2h")
    some, many = BreachedWindows(1, 1, 0.0), BreachedWindows(2, 3, 0.0)
    assert not enough_breaches(some, settings).met
    assert "1 of the last 3 windows" in enough_breaches(some, settings).words
    assert "there are 1 so far; 2 must" in enough_breaches(some, settings).words
    assert enough_breaches(many, settings).met

    assert not enough_labels(199, 0.0, settings).met
    assert enough_labels(200, 0.0, settings).met
    assert "199 different texts since 1970-01-01T00:00:00+00:00" in enough_labels(199, 0.0, settings).words

    assert follows_alias("champion").met
    assert "MODEL_URI" in follows_alias(None).words


@pytest.mark.parametrize(
    ("last", "met", "said"),
    [
        ([], True, "never retrained"),
        ([retrained(0, 0)], True, "the next may begin at 1970-01-01T02:00"),
        ([retrained(4, 0)], False, "the next may begin at"),
        ([retrained(4, 1)], False, "ended with status 1"),
        ([retrained(0, None)], False, "has not ended"),
        ([retrained(-25, None)], True, "RETRAIN_COOLDOWN is 2h"),
        ([retrained(6, 0)], False, "the next may begin at 1970-01-01T08:00"),
        ([retrained(7.1, 0)], True, "before the clock was set back"),
        ([retrained(28, None)], False, "has not ended"),
        ([retrained(9999, None), retrained(4, 0)], False, "the next may begin at 1970-01-01T06:00"),
    ],
)
def test_the_cool_down_counts_from_the_beginning(last: list[Check], met: bool, said: str) -> None:
    condition = cooled_down(last, MonitoringSettings(retrain_cooldown="2h"), now=5 * HOUR)
    assert condition.met is met
    assert said in condition.words


def test_the_command_adds_live_texts_and_the_settings() -> None:
    settings = MonitoringSettings(retrain_set="data.live.per_class=40 'description=of a night'")
    model = WatchedModel(name="2024", version="3", alias="champion")
    arguments = command_of(settings, model, traffic_since=1000.5, until=2000.2)
    assert arguments[:4] == ["-m", "training", "run", "models:/2024/3"]
    once = [value for key, value in pairwise(arguments) if key == "--once"]
    experiment = load_experiment("quickstart", once=once)
    assert experiment.registered_name("news") == "2024"
    live = experiment.data.live
    assert live is not None
    assert (live.source, live.model_name, live.per_class) == ("predictions", "2024", 40)
    assert live.traffic_since is not None
    assert live.until is not None
    assert (live.traffic_since.timestamp(), live.until.timestamp()) == (1000, 2001)
    assert experiment.description == "of a night"
    assert experiment.without_once == load_experiment("quickstart")
    named = MonitoringSettings(monitoring_experiment="tickets.yaml")
    assert command_of(named, model, traffic_since=1, until=2)[3] == "tickets.yaml"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"retrain_breaches": 4}, "RETRAIN_WINDOWS looks at 3 windows only"),
        ({"retrain_cooldown": "soon"}, "'soon' is not a duration"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        MonitoringSettings(**settings)  # type: ignore[arg-type]


def test_the_reference_is_live_traffic_where_enough_is_held_out() -> None:
    frame = pd.DataFrame({"text": [str(n) for n in range(90)], "origin": ["live"] * 50 + ["source"] * 40})
    live, note = live_reference(frame)
    assert len(live) == 50
    assert "Compared with the 50 live texts" in (note or "")
    every, note = live_reference(frame[1:])
    assert len(every) == 89
    assert "49 live texts, too few" in (note or "")
    assert live_reference(frame[["text"]])[1] is None
