"""From the verdicts of many checks to an alarm: what alerts, retraining and the exit status of repeated checks follow.

The state is in the history of checks (`stores.predictions.checks`), so `watch`, cron and several processes come to the
same alarm. A signal becomes an alarm by one window or by two in succession (`monitoring.alarm_levels`), and stays one
until it is clearly below its threshold again: a figure that wavers about its threshold is one episode.
"""

from __future__ import annotations

from collections.abc import Sequence

from monitoring.alarm_levels import AlarmLevels, alarm_levels
from monitoring.drift.signal import relative_change, title_of
from monitoring.settings import MonitoringSettings
from monitoring.verdict import Accuracy, Alarm, Drift, Signal
from stores.predictions.checks import Check

ACCURACY = "accuracy"
"""The reason of an alarm that labels prove."""
_STAYS = 0.8
"""Share of its threshold above which a signal that is an alarm stays one."""
_JITTER = 0.01
"""Share of a window by which it may overlap the one before: a daily job does not begin at the same second every day."""


def levels_for(
    since: float, until: float, earlier: Sequence[Check], settings: MonitoringSettings
) -> AlarmLevels:
    """The levels of a check, from how often this window's length was checked lately.

    Args:
        since: the window begins with it.
        until: the window ends before it.
        earlier: checks of the same version.
        settings: the promise, and alpha.
    """
    width = until - since
    # A job that waits a second longer than the window was to be counted as one check a window.
    recent = sum(until - width * (1 - _JITTER) < check.until <= until for check in earlier)
    return alarm_levels(
        width, 1 + recent, days=settings.monitoring_alarm_days, alpha=settings.monitoring_alpha
    )


def judge_alarms(drift: Drift, since: float, until: float, earlier: Sequence[Check]) -> Drift:
    """`drift` with `alarm` of every signal that has evidence.

    Args:
        drift: of the window.
        since: it begins with it.
        until: it ends before it.
        earlier: checks of the same version, in any order.
    """
    before = sorted((check for check in earlier if check.until <= until), key=lambda check: check.until)
    signals = [
        signal
        if signal.evidence is None
        else signal.model_copy(update={"alarm": _alarm(signal, since, until, before)})
        for signal in drift.signals
    ]
    return drift.model_copy(update={"signals": signals})


def _alarm(signal: Signal, since: float, until: float, before: Sequence[Check]) -> str:
    """Which rule makes the signal an alarm.

    Args:
        signal: with its evidence.
        since: beginning of its window.
        until: end of its window.
        before: checks of windows that do not end later, by their end.
    """
    if signal.evidence == "at_once":
        return "at_once"
    if signal.usual is not None and signal.status == "ok":
        return "none"
    width = until - since
    judged = [
        (check.until, found)
        for check in before
        if (found := check.signals.get(signal.name)) and found.get("status") in ("ok", "breach")
    ]
    if signal.evidence == "if_repeated":
        apart = [found for end, found in judged if since - width <= end <= since + _JITTER * width]
        # An older release noted no evidence.
        if apart and apart[-1].get("evidence", apart[-1]["status"]) not in ("none", "ok"):
            return "repeated"
    if (
        judged
        and judged[-1][1].get("alarm")
        and signal.value is not None
        and signal.threshold
        and relative_change(signal.value, signal.threshold, signal.name) >= _STAYS
    ):
        return "lasts"
    return "none"


def alarming(drift: Drift) -> list[str]:
    """Names of the signals that are an alarm."""
    return [signal.name for signal in drift.signals if signal.alarm not in (None, "none")]


def alarm_of(drift: Drift, accuracy: Accuracy, levels: AlarmLevels, settings: MonitoringSettings) -> Alarm:
    """The alarm of a check."""
    reasons = [*alarming(drift), *([ACCURACY] if accuracy.status == "breach" else [])]
    return Alarm(
        on=bool(reasons),
        reasons=reasons,
        days=settings.monitoring_alarm_days,
        checks_per_window=levels.checks,
        at_once_alpha=levels.at_once,
        repeated_alpha=levels.repeated,
        words=_words(drift, reasons, settings),
    )


def _words(drift: Drift, reasons: Sequence[str], settings: MonitoringSettings) -> str:
    promise = (
        "on unchanged traffic at most one false alarm is expected in "
        f"{settings.monitoring_alarm_days:g} days (MONITORING_ALARM_DAYS)"
    )
    if reasons:
        names = ", ".join("accuracy" if name == ACCURACY else title_of(name).lower() for name in reasons)
        return f"Alarm by {names}; {promise}."
    if any(signal.status == "breach" for signal in drift.signals):
        return (
            "A breach, but no alarm yet: one window of many checks can be in breach by chance. It is an alarm if the "
            f"next window without common predictions is in breach, too; {promise}."
        )
    return f"No alarm; {promise}."
