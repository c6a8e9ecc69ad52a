"""Retrain after a breach: the conditions, and the training with the labelled live texts, decided by its gate.

Training is run by its command, not by import: the experiment that made the champion, which travels in its bundle
(`python -m training run models:/NAME/VERSION`), with the live texts added. Its gate decides whether what it trained is
promoted; the running service then swaps by itself.
"""

from __future__ import annotations

import json
import logging
import math
import os
import shlex
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from monitoring.check import CheckResult
from monitoring.drift.change_point import non_overlapping
from monitoring.drift.signal import is_of_service
from monitoring.judgement import latency_only
from monitoring.settings import MonitoringSettings
from monitoring.times import iso, seconds_of
from monitoring.training_process import first_error, record_termination_signals, run_training
from monitoring.verdict import Verdict, WatchedModel
from stores.errors import StoreError
from stores.predictions import PredictionStore
from stores.predictions.checks import INTERRUPTED, Check, CheckLog, holds_back
from stores.predictions.labelled import count_labelled_texts, count_labelled_without_text
from stores.registry import CHALLENGER, ModelRegistry
from stores.settings import PredictionSettings, TrackingSettings

logger = logging.getLogger("monitoring")

_CHECKS_BEFORE = 2000


@dataclass(frozen=True, slots=True)
class Retraining:
    """Conditions and outcome of a retraining."""

    conditions: list[Condition]
    status: int | None = None
    """Exit status of the training; None: none was begun, or it was ended with this process."""
    stopped_by: int | None = None
    """The signal that asked this process to end meanwhile."""


def retrain(checked: CheckResult, settings: MonitoringSettings, tell: Callable[[str], None]) -> Retraining:
    """Retrain because of the breach that `checked` found, where every condition is met.

    `tell` gets each sentence as soon as it is true: a training takes minutes. Of several processes that come to it at
    once, one trains. Asked to end by a signal, it ends the training first, and a later check may retrain.

    Raises:
        PredictionStoreError: the store cannot be read or written.
    """
    if latency_only(checked.verdict.drift, checked.verdict.accuracy):
        words = "only the service's latency is in breach, which no training changes"
        _say(tell, "retraining_waits", f"Not retrained: {words}.")
        return Retraining([Condition(False, words)])
    store = PredictionStore.open(PredictionSettings())
    try:
        log, now, name = CheckLog(store), time.time(), checked.verdict.model.name
        checks = log.last(_CHECKS_BEFORE, name)
        own = next(check for check in checks if check.id == checked.check_id)
        windows = breached_windows(own, checks, settings.retrain_windows)
        labels = count_labelled_texts(store, windows.since, now, model_name=name, sources=settings.sources)
        without_text = count_labelled_without_text(
            store, windows.since, now, model_name=name, sources=settings.sources
        )
        conditions = [
            follows_alias(checked.verdict.model.alias),
            enough_breaches(windows, settings),
            cooled_down(log.retrainings(name), settings, now),
            enough_labels(labels, windows.since, settings, without_text=without_text),
            is_alarm(checked.verdict),
        ]
        if missing := [condition.words for condition in conditions if not condition.met]:
            _say(tell, "retraining_waits", f"Not retrained: {'. Also: '.join(missing)}.")
            return Retraining(conditions)
        cooldown = seconds_of(settings.retrain_cooldown)
        with record_termination_signals() as received_signals:
            training = _Training(settings, checked.verdict.model, windows.since, now)
            if fault := training.fault(received_signals):
                # Nothing was begun, so the cool-down is not spent.
                _say(tell, "retraining_impossible", f"Not retrained: {fault}")
                return Retraining([*conditions, Condition(False, fault)])
            if received_signals:
                _say(tell, "retraining_ended", _interrupted(received_signals[0]))
                return Retraining(conditions, stopped_by=received_signals[0])
            if not log.begin_retraining(own.id, name, cooldown=cooldown, now=time.time()):
                _say(tell, "retraining_waits", "Not retrained: another process has just begun to.")
                return Retraining(conditions, stopped_by=next(iter(received_signals), None))
            met = "; ".join(condition.words for condition in conditions)
            _say(tell, "retraining", f"Retraining, because {met}.")
            status = None
            try:
                status = training.run(received_signals)
            finally:
                log.end_retraining(own.id, INTERRUPTED if status is None else status)
        stopped_by = next(iter(received_signals), None)
        if status is not None:
            _say(tell, "retrained", _outcome(status, checked, training.experiment))
        elif stopped_by is not None:
            _say(tell, "retraining_ended", _interrupted(stopped_by))
        return Retraining(conditions, status, stopped_by)
    finally:
        store.close()


def experiment_of(settings: MonitoringSettings, model: WatchedModel) -> str:
    """What a retraining of `model` runs: MONITORING_EXPERIMENT, or else the experiment that made the version."""
    return settings.monitoring_experiment or f"models:/{model.name}/{model.version}"


def command_of(
    settings: MonitoringSettings, model: WatchedModel, *, traffic_since: float, until: float
) -> list[str]:
    """The arguments of `python`: the experiment, with the labelled live texts of the model added.

    What is added is for this run only (`--once`): the version that it makes carries the experiment without it, so the
    next retraining begins from the same. It is registered under the name of the model, whatever the experiment says.
    """
    wanted = {
        "model_name": json.dumps(model.name),
        "data.live.model_name": json.dumps(model.name),
        "data.live.until": iso(math.ceil(until)),
        "data.live.traffic_since": iso(traffic_since),
    }
    sets = [*(f"{key}={value}" for key, value in wanted.items()), *shlex.split(settings.retrain_set or "")]
    return [
        "-m", "training", "run", experiment_of(settings, model),
        *(argument for override in sets for argument in ("--once", override)),
    ]  # fmt: skip


class _Training:
    """The training command, with a dry run."""

    def __init__(
        self, settings: MonitoringSettings, model: WatchedModel, traffic_since: float, until: float
    ) -> None:
        self.experiment = experiment_of(settings, model)
        self._arguments = command_of(settings, model, traffic_since=traffic_since, until=until)
        self._environment = {**os.environ, "VAR_DIR": str(settings.root), "MODEL_NAME": model.name}

    def fault(self, received_signals: Sequence[int]) -> str | None:
        """Why it could not begin (no experiment travels with the version, its source is gone or refused); else None."""
        fault = first_error([*self._arguments, "--dry-run"], self._environment, received_signals)
        if fault is None:
            return None
        return f"{fault} (tried: `python -m training run {shlex.quote(self.experiment)} --dry-run`)"

    def run(self, received_signals: Sequence[int]) -> int | None:
        """Train; the exit status, or None where it was ended with this process."""
        command = shlex.join(["python", *self._arguments])
        logger.warning("training", extra={"fields": {"command": command}})
        return run_training(self._arguments, self._environment, received_signals)


def _interrupted(number: int) -> str:
    return (
        f"Told to stop by {signal.Signals(number).name}: the training was ended before it was done. The next check may "
        f"train again."
    )


def _outcome(status: int, checked: CheckResult, experiment: str) -> str:
    model = checked.verdict.model
    if status != 0:
        return (
            f"The training ended with status {status}; version {model.version} stays champion. Run "
            f"`python -m training run {shlex.quote(experiment)}` to see why."
        )
    registry = ModelRegistry(TrackingSettings().model_copy(update={"model_name": model.name}))
    try:
        champion = registry.by_alias(model.alias)
        if champion.version != model.version:
            return (
                f"Version {champion.version} passed the gate and is champion now; the service swaps by itself. The "
                "alarm ends with the first window that it has answered."
            )
        newest = registry.latest()
        if withheld := newest.tags.get("alias_withheld"):
            return (
                f"Version {newest.version} was registered without an alias; version {model.version} stays champion. "
                f"{withheld} `python -m training promote {newest.version} --model {model.name}` shows what it changes."
            )
        why = registry.by_alias(CHALLENGER).tags.get("gate_reasons", "")
    except StoreError as error:
        return f"The training succeeded; the registry could not be asked for its outcome: {error}"
    return f"The gate did not let the new version through; version {model.version} stays champion. {why}"


def _say(tell: Callable[[str], None], event: str, sentence: str) -> None:
    logger.warning(event, extra={"fields": {"words": sentence}})
    tell(sentence)


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that must hold."""

    met: bool
    words: str
    """Value, limit and the setting of the limit."""


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
    every = [*non_overlapping(now.since, judged), now]
    last = every[-count:]
    first = len(every) - len(last)
    first += next(place for place, check in enumerate(last) if _of_the_model(check))
    while first and _of_the_model(every[first - 1]):
        first -= 1
    breached = sum(map(_of_the_model, last))
    return BreachedWindows(breached, len(last), every[first].since)


def _of_the_model(check: Check) -> bool:
    """Whether the check found a breach that a training may mend."""
    return check.status == "breach" and not check.latency_only


def _judged(check: Check) -> bool:
    """Whether there was enough of the traffic to say anything of it."""
    if not check.latency_only:
        return check.status in ("ok", "breach")
    return any(found["status"] == "ok" for name, found in check.signals.items() if not is_of_service(name))


def is_alarm(verdict: Verdict) -> Condition:
    """Whether the checks so far are an alarm by something that a training may mend."""
    if verdict.alarm is None:
        return Condition(True, "the verdict is from before there were alarms")
    names = [name for name in verdict.alarm.reasons if not is_of_service(name)]
    if names:
        return Condition(True, f"there is an alarm ({', '.join(names)})")
    return Condition(
        False, "the breach is no alarm yet: one window of many checks can be in breach by chance"
    )


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


def enough_labels(
    count: int, since: float, settings: MonitoringSettings, *, without_text: int = 0
) -> Condition:
    """Whether enough different texts since the breach began have labels.

    Args:
        count: different labelled texts.
        since: when the breach began.
        settings: how many are needed.
        without_text: labelled predictions of which no text is stored.
    """
    return Condition(
        count >= settings.retrain_min_labels,
        f"{count} different texts since {iso(since)}, when the breach began, have labels; "
        f"{settings.retrain_min_labels} are needed (RETRAIN_MIN_LABELS)"
        + (
            f"; {without_text} more labels are of predictions whose text is not stored (STORE_TEXT), or gone by the "
            "retention policy: there are no live texts to learn from"
            if without_text
            else ""
        ),
    )


def follows_alias(alias: str | None) -> Condition:
    """Whether a new champion would be served at all."""
    if alias is not None:
        return Condition(True, f"the service follows the alias {alias}")
    return Condition(False, "MODEL_URI pins what is served, so a new champion would not be; unset it")
