"""A breach that leads to a retraining: rarely, once, with the labelled live texts, through the gate.

The next room is reached by its command, not by import. Its gate decides whether what it trained is promoted; the
running service then swaps by itself.
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

from monitoring.check import Checked
from monitoring.conditions import (
    Condition,
    breached_windows,
    cooled_down,
    enough_breaches,
    enough_labels,
    follows_alias,
)
from monitoring.judgement import slow_only
from monitoring.settings import MonitoringSettings
from monitoring.times import iso, seconds_of
from monitoring.training_process import run_training, signals_noted
from stores.errors import StoreError
from stores.models import CHALLENGER, ModelRegistry
from stores.predictions import PredictionStore
from stores.predictions.checks import INTERRUPTED, CheckLog
from stores.predictions.labelled import count_labelled_texts
from stores.settings import PredictionSettings, TrackingSettings

logger = logging.getLogger("monitoring")

_CHECKS_BEFORE = 2000


@dataclass(frozen=True, slots=True)
class Retraining:
    """What became of the wish to retrain."""

    conditions: list[Condition]
    status: int | None = None
    """Exit status of the training; None: none was begun, or it was ended with this process."""
    stopped_by: int | None = None
    """The signal that asked this process to end meanwhile."""


def retrain(checked: Checked, settings: MonitoringSettings, tell: Callable[[str], None]) -> Retraining:
    """Retrain because of the breach that `checked` found, where every condition is met.

    `tell` gets each sentence as soon as it is true: a training takes minutes. Of several processes that come to it at
    once, one trains. Asked to end by a signal, it ends the training first, and a later check may retrain.

    Raises:
        PredictionStoreError: the store cannot be read or written.
    """
    if slow_only(checked.verdict.drift, checked.verdict.accuracy):
        words = "only the service's latency is in breach, which no training changes"
        _say(tell, "retraining_waits", f"Not retrained: {words}.")
        return Retraining([Condition(False, words)])
    store = PredictionStore.open(PredictionSettings().url)
    try:
        log, now, name = CheckLog(store), time.time(), checked.verdict.model.name
        checks = log.last(_CHECKS_BEFORE, name)
        own = next(check for check in checks if check.id == checked.check_id)
        windows = breached_windows(own, checks, settings.retrain_windows)
        labels = count_labelled_texts(store, windows.since, now, model_name=name)
        conditions = [
            follows_alias(checked.verdict.model.alias),
            enough_breaches(windows, settings),
            cooled_down(log.retrainings(name), settings, now),
            enough_labels(labels, windows.since, settings),
        ]
        if missing := [condition.words for condition in conditions if not condition.met]:
            _say(tell, "retraining_waits", f"Not retrained: {'. Also: '.join(missing)}.")
            return Retraining(conditions)
        cooldown = seconds_of(settings.retrain_cooldown)
        with signals_noted() as told_to_end:
            if not log.begin_retraining(own.id, name, cooldown=cooldown, now=time.time()):
                _say(tell, "retraining_waits", "Not retrained: another process has just begun to.")
                return Retraining(conditions, stopped_by=next(iter(told_to_end), None))
            met = "; ".join(condition.words for condition in conditions)
            _say(tell, "retraining", f"Retraining, because {met}.")
            status = None
            try:
                status = _train(settings, name, told_to_end, traffic_since=windows.since, until=now)
            finally:
                log.end_retraining(own.id, INTERRUPTED if status is None else status)
        stopped_by = next(iter(told_to_end), None)
        if status is not None:
            _say(tell, "retrained", _outcome(status, checked, settings))
        elif stopped_by is not None:
            _say(tell, "retraining_ended", _interrupted(stopped_by))
        return Retraining(conditions, status, stopped_by)
    finally:
        store.close()


def command_of(settings: MonitoringSettings, name: str, *, traffic_since: float, until: float) -> list[str]:
    """The arguments of `python`: the experiment, with the labelled live texts of the model `name` added."""
    wanted = {
        "data.live.model_name": json.dumps(name),
        "data.live.until": iso(math.ceil(until)),
        "data.live.traffic_since": iso(traffic_since),
    }
    sets = [*(f"{key}={value}" for key, value in wanted.items()), *shlex.split(settings.retrain_set or "")]
    return [
        "-m", "training", "run", settings.monitoring_experiment,
        *(argument for override in sets for argument in ("--set", override)),
    ]  # fmt: skip


def _train(
    settings: MonitoringSettings, name: str, told_to_end: Sequence[int], *, traffic_since: float, until: float
) -> int | None:
    arguments = command_of(settings, name, traffic_since=traffic_since, until=until)
    logger.warning("training", extra={"fields": {"command": shlex.join(["python", *arguments])}})
    environment = {**os.environ, "VAR_DIR": str(settings.root), "MODEL_NAME": name}
    return run_training(arguments, environment, told_to_end)


def _interrupted(number: int) -> str:
    return (
        f"Told to stop by {signal.Signals(number).name}: the training was ended before it was done. The next check may "
        f"train again."
    )


def _outcome(status: int, checked: Checked, settings: MonitoringSettings) -> str:
    model = checked.verdict.model
    if status != 0:
        return (
            f"The training ended with status {status}; version {model.version} stays champion. Run "
            f"`python -m training run {settings.monitoring_experiment}` to see why."
        )
    registry = ModelRegistry(TrackingSettings().model_copy(update={"model_name": model.name}))
    try:
        champion = registry.by_alias(model.alias)
        if champion.version != model.version:
            return (
                f"Version {champion.version} passed the gate and is champion now; the service swaps by itself. The "
                "alarm ends with the first window that it has answered."
            )
        why = registry.by_alias(CHALLENGER).tags.get("gate_reasons", "")
    except StoreError as error:
        return f"The training ended well; what became of its winner could not be asked: {error}"
    return f"The gate did not let the new version through; version {model.version} stays champion. {why}"


def _say(tell: Callable[[str], None], event: str, sentence: str) -> None:
    logger.warning(event, extra={"fields": {"words": sentence}})
    tell(sentence)
