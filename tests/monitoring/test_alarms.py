"""Alarms: what repeated checks make of breaches."""

from __future__ import annotations

import pytest

from monitoring.alarm_levels import alarm_levels, looks
from monitoring.alarms import alarm_of, judge_alarms, levels_for
from monitoring.retraining import is_alarm
from monitoring.settings import MonitoringSettings
from monitoring.verdict import Drift, Signal
from stores.predictions.checks import Check
from tests.monitoring.test_alerts import verdict

HOUR, DAY = 3600.0, 86400.0
SETTINGS = MonitoringSettings()


def drift(evidence: str, *, value: float = 0.3, name: str = "confidence") -> Drift:
    status = "ok" if evidence == "none" and value < 0.2 else "breach"
    signal = Signal(
        name=name, title=name, measure="", status=status, value=value, threshold=0.2, floor=0.1,
        reference_texts=400, window_texts=90, words="", evidence=evidence,
    )  # fmt: skip
    return Drift(status=status, alpha=0.01, signals=[signal])


def check(until: float, *, width: float = DAY, name: str = "confidence", **found: object) -> Check:
    signals = {name: {"value": 0.3, "threshold": 0.2, "status": "breach", **found}}
    return Check(
        checked_at=until, since=until - width, until=until, model_name="news", model_version="1", status="breach",
        summary="", report="", signals=signals, accuracy=None, labelled=0,
    )  # fmt: skip


def alarm(now: Drift, *before: Check, until: float = 10 * DAY) -> str | None:
    return judge_alarms(now, until - DAY, until, before).signals[0].alarm


def test_looks_lie_between_one_and_the_number_of_checks() -> None:
    assert looks(0.001, 1) == 1
    assert 2 < looks(0.001, 4) <= 4
    assert looks(0.001, 24) < looks(0.001, 96) < looks(0.001, 10_000) < 20


@pytest.mark.parametrize("checks", [1, 24, 96, 1440])
@pytest.mark.parametrize("width", [HOUR, DAY, 7 * DAY])
def test_the_levels_spend_one_episode(width: float, checks: int) -> None:
    levels = alarm_levels(width, checks, days=182, alpha=0.01)
    spent = levels.at_once * looks(levels.at_once, checks)
    spent += 2 * levels.repeated**2 * looks(levels.repeated, checks)
    assert spent * 182 * DAY / width <= 1.0001
    assert levels.at_once < levels.repeated <= 0.01 or checks == 1 or width == 7 * DAY


def test_more_checks_within_a_window_lower_the_levels() -> None:
    daily = [check(DAY * day + 5) for day in range(10)]
    assert levels_for(9 * DAY, 10 * DAY, daily, SETTINGS).checks == 1, (
        "a job that is 5 s late is no second look"
    )
    hourly = [check(10 * DAY - HOUR * back) for back in range(1, 60)]
    levels = levels_for(9 * DAY, 10 * DAY, hourly, SETTINGS)
    assert levels.checks == 24
    assert levels.at_once < levels_for(9 * DAY, 10 * DAY, daily, SETTINGS).at_once


def test_a_certain_change_is_an_alarm_at_once() -> None:
    assert alarm(drift("at_once")) == "at_once"


def test_a_breach_is_an_alarm_when_the_window_before_was_one() -> None:
    assert alarm(drift("if_repeated")) == "none"
    assert alarm(drift("if_repeated"), check(9 * DAY, evidence="if_repeated")) == "repeated"
    assert alarm(drift("if_repeated"), check(9 * DAY + 60, evidence="at_once")) == "repeated", (
        "a job came late"
    )
    assert alarm(drift("if_repeated"), check(9.5 * DAY, evidence="if_repeated")) == "none", "they share texts"
    assert alarm(drift("if_repeated"), check(7 * DAY, evidence="if_repeated")) == "none", "too long ago"
    assert alarm(drift("if_repeated"), check(9 * DAY, name="language", evidence="at_once")) == "none"
    later = check(9 * DAY, evidence="none", status="ok")
    assert alarm(drift("if_repeated"), check(8.9 * DAY, evidence="at_once"), later) == "none"


def test_rows_of_older_releases_count_by_their_status() -> None:
    assert alarm(drift("if_repeated"), check(9 * DAY)) == "repeated"
    assert alarm(drift("if_repeated"), check(9 * DAY, status="ok")) == "none"


def test_an_alarm_lasts_until_the_signal_is_clearly_below() -> None:
    raised = check(10 * DAY - HOUR, evidence="at_once", alarm="at_once")
    assert alarm(drift("none", value=0.19), raised) == "lasts"
    assert alarm(drift("none", value=0.15), raised) == "none"
    over = check(10 * DAY - HOUR / 2, status="ok", evidence="none")
    assert alarm(drift("none", value=0.19), raised, over) == "none"
    unknown = check(10 * DAY - HOUR / 2, status="insufficient_data")
    assert alarm(drift("none", value=0.19), raised, unknown) == "lasts"


def test_the_verdict_says_what_the_promise_is() -> None:
    levels = alarm_levels(DAY, 24, days=182, alpha=0.01)
    found = alarm_of(drift("none", value=0.3), verdict().accuracy, levels, SETTINGS)
    assert (found.on, found.reasons, found.days, found.checks_per_window) == (False, [], 182, 24)
    raised = judge_alarms(drift("at_once"), 0, DAY, [])
    assert alarm_of(raised, verdict().accuracy, levels, SETTINGS).reasons == ["confidence"]


def test_only_an_alarm_by_the_traffic_leads_to_a_retraining() -> None:
    levels = alarm_levels(DAY, 24, days=182, alpha=0.01)
    for name, evidence, met in (
        ("confidence", "at_once", True),
        ("confidence", "if_repeated", False),
        ("service_latency", "at_once", False),
    ):
        found = judge_alarms(drift(evidence, name=name), 0, DAY, [])
        judged = verdict("confidence").model_copy(
            update={"alarm": alarm_of(found, verdict().accuracy, levels, SETTINGS)}
        )
        assert is_alarm(judged).met == met, (name, evidence)
