"""What must hold before a breach leads to a retraining; each condition says in words how it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from monitoring.changes import apart_from
from monitoring.settings import MonitoringSettings
from monitoring.signals.comparison import OF_THE_SERVICE
from monitoring.times import iso, seconds_of
from stores.predictions.checks import Check, holds_back


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that must hold."""

    met: bool
    words: str
    """How it stands, with what is demanded and the setting that demands it."""


@dataclass(frozen=True, slots=True)
class BreachedWindows:
    """The last windows that overlap neither one another nor this check's, this one included; the oldest first."""

    breached: int
    looked_at: int
    since: float
    """Beginning of the first window of the breach: what came from then on is the traffic that the model fails on."""


def breached_windows(now: Check, before: Sequence[Check], count: int) -> BreachedWindows:
    """The last `count` windows of the version that `now` watched, as far as there are so many.

    Windows with too little data say nothing and are passed over. Overlapping ones repeat one another's texts, so of
    those the newest counts. Another version's windows were held against another reference. Where nothing but the
    service's latency was in breach, the window counts as one within thresholds: the model did not fail on it.
    """
    judged = [
        check
        for check in before
        if check.model_version == now.model_version and _judged(check) and check.until <= now.since
    ]
    every = [*apart_from(now.since, judged), now]
    last = every[-count:]
    first = len(every) - len(last)
    first += next(place for place, check in enumerate(last) if _of_the_model(check))
    while first and _of_the_model(every[first - 1]):
        first -= 1
    breached = sum(map(_of_the_model, last))
    return BreachedWindows(breached, len(last), every[first].since)


def _of_the_model(check: Check) -> bool:
    """Whether the check found a breach that a training may mend."""
    return check.status == "breach" and not check.slow_only


def _judged(check: Check) -> bool:
    """Whether there was enough of the traffic to say anything of it."""
    if not check.slow_only:
        return check.status in ("ok", "breach")
    return any(found["status"] == "ok" for name, found in check.signals.items() if name not in OF_THE_SERVICE)


def enough_breaches(windows: BreachedWindows, settings: MonitoringSettings) -> Condition:
    """Whether k of the last n windows breached."""
    needed, of = settings.retrain_breaches, settings.retrain_windows
    return Condition(
        windows.breached >= needed,
        f"{windows.breached} of the last {of} windows that do not overlap breached"
        + (f", of which there are {windows.looked_at} so far" if windows.looked_at < of else "")
        + f"; {needed} must (RETRAIN_BREACHES, RETRAIN_WINDOWS)",
    )


def cooled_down(retrainings: Sequence[Check], settings: MonitoringSettings, now: float) -> Condition:
    """Whether enough time has passed since a retraining began, and none is running.

    Args:
        retrainings: checks that led to one, the newest first.
        settings: the cool-down.
        now: seconds since the epoch.
    """
    demanded = f"RETRAIN_COOLDOWN is {settings.retrain_cooldown}"
    cooldown = seconds_of(settings.retrain_cooldown)
    holding = [
        check
        for check in retrainings
        if holds_back(check.retrained_at, check.retrain_status, cooldown=cooldown, now=now)
    ]
    last = next(iter([*holding, *retrainings]), None)
    if last is None or last.retrained_at is None:
        return Condition(True, f"it was never retrained because of a breach; {demanded}")
    began = f"the last retraining began at {iso(last.retrained_at)}"
    if not holding and last.retrained_at > now:
        return Condition(True, f"{began}, before the clock was set back, which holds nothing up; {demanded}")
    if holding and last.retrain_status is None:
        return Condition(False, f"{began} and has not ended")
    ended = "" if last.retrain_status in (0, None) else f", ended with status {last.retrain_status}"
    free = iso(last.retrained_at + cooldown)
    return Condition(not holding, f"{began}{ended}; the next may begin at {free} ({demanded})")


def enough_labels(count: int, since: float, settings: MonitoringSettings) -> Condition:
    """Whether enough different texts since the breach began have labels."""
    return Condition(
        count >= settings.retrain_min_labels,
        f"{count} different texts since {iso(since)}, when the breach began, have labels; "
        f"{settings.retrain_min_labels} are needed (RETRAIN_MIN_LABELS)",
    )


def follows_alias(alias: str | None) -> Condition:
    """Whether a new champion would be served at all."""
    if alias is not None:
        return Condition(True, f"the service follows the alias {alias}")
    return Condition(False, "MODEL_URI pins what is served, so a new champion would not be; unset it")
