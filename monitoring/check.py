"""One check from the store to the files: the main path of monitoring, top to bottom."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from monitoring.accepted import compared_reference
from monitoring.accuracy import judge_accuracy
from monitoring.alarms import judge_alarms, levels_for
from monitoring.champion import MonitoredModel, find_champion, without_erased
from monitoring.drift.change_point import date_changes
from monitoring.drift.compute import measure_drift
from monitoring.expected_accuracy import expect_accuracy, novel_share
from monitoring.judgement import judge
from monitoring.progress import Step, silent
from monitoring.publishing import ReportMode, WindowResult, publish, row_of
from monitoring.rhythm import History, judge_rhythm
from monitoring.settings import MonitoringSettings
from monitoring.verdict import Verdict
from monitoring.window import read_answers, read_window
from stores.predictions import PredictionStore
from stores.predictions.checks import Check, CheckLog
from stores.predictions.traffic import first_prediction
from stores.registry import ModelRegistry
from stores.settings import PredictionSettings, SigningSettings, TrackingSettings

_CHECKS_BEFORE = 2000
"""Earlier checks that are read for "since when": three weeks of one every 15 minutes."""
_SEED = 20
"""The same window gets the same verdict, to the last digit."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of a check."""

    verdict: Verdict
    report: Path
    """The file to open: `report.html`, or `verdict.json` where no page was asked for."""

    check_id: int
    """Of its row in the prediction store."""

    @property
    def folder(self) -> Path:
        """Holds `verdict.json`, `monitoring.prom` and the pages."""
        return self.report.parent


def run_check(
    since: float,
    until: float,
    settings: MonitoringSettings,
    *,
    tracking: TrackingSettings,
    predictions: PredictionSettings,
    signing: SigningSettings,
    output: Path | None = None,
    pages: ReportMode = "breach",
    step: Step = silent,
) -> CheckResult:
    """Check the served model's predictions with `since` <= time < `until` (seconds since the epoch).

    Args:
        since: the window begins with it.
        until: the window ends before it.
        settings: thresholds and sizes.
        tracking: where the served model is registered, and which it is.
        predictions: where its answers are kept.
        signing: whether its bundle must be signed.
        output: folder for the files; None makes one under `var/monitoring` and points `latest` at it.
        pages: which of them to write.
        step: called with the current step.

    Raises:
        MonitoringError, StoreError, BundleError: the check could not run; the message says what to do.
    """
    step("Reading the champion's reference")
    registry = ModelRegistry(tracking)
    champion = find_champion(registry, tracking, signing)
    store = PredictionStore.open(predictions)
    try:
        judged = evaluate_window(store, champion, since, until, settings, step)
        verdict, report = publish(judged, settings, registry, output, step, pages=pages)
        return CheckResult(verdict, report, CheckLog(store).add(row_of(verdict, judged.window, report)))
    finally:
        store.close()


def evaluate_window(
    store: PredictionStore,
    champion: MonitoredModel,
    since: float,
    until: float,
    settings: MonitoringSettings,
    step: Step = silent,
) -> WindowResult:
    """Judge the champion's predictions with `since` <= time < `until`, and write nothing anywhere.

    Raises:
        MonitoringError, StoreError: it could not be judged; the message says what to do.
    """
    step("Reading predictions")
    champion = without_erased(champion, store)
    compared = compared_reference(store, champion, since, until, settings)
    window = read_window(
        store,
        replace(champion, reference=compared.frame),
        since,
        until,
        max_texts=settings.monitoring_max_texts,
        sources=settings.sources,
    )
    earlier = CheckLog(store).last(_CHECKS_BEFORE, champion.model.name)
    own = [check for check in earlier if check.model_version == champion.model.version]
    rng = np.random.default_rng(_SEED)
    levels = levels_for(since, until, own, settings)
    drift, comparisons = measure_drift(compared.frame, window, settings, rng, step, levels=levels)
    drift = drift.model_copy(update={"accepted": compared.accepted})
    began = first_prediction(
        store,
        model_name=champion.model.name,
        model_version=champion.model.version,
        sources=settings.sources,
    )
    drift = judge_rhythm(
        drift,
        window,
        champion.reference,
        History(
            lambda first, last, size: read_answers(
                store, champion, first, last, max_texts=size, sources=settings.sources
            ),
            began,
            lambda: _checks_since(store, champion, began or since),
            compared.weekly,
        ),
        settings,
        rng,
        levels,
    )
    drift = judge_alarms(drift, since, until, own)
    step("Judging accuracy")
    accuracy = judge_accuracy(
        window.outcomes,
        predictions=window.predictions,
        labels=champion.labels,
        reference=champion.reference,
        expected=expect_accuracy(
            window.answers,
            champion.reference,
            champion.labels,
            novel_share=novel_share(comparisons, len(window.distinct)),
            alpha=settings.monitoring_alpha,
        ),
        settings=settings,
        rng=rng,
        queue=window.queue,
    )
    step("Dating changes")
    drift = date_changes(
        drift,
        window.since,
        earlier,
        champion.model.version,
        rng,
        comparisons=comparisons,
        first_prediction=began,
    )
    verdict = judge(
        champion,
        window,
        drift,
        accuracy,
        settings,
        checked_at=time.time(),
        first_prediction=began,
        levels=levels,
    )
    return WindowResult(
        verdict,
        comparisons,
        window,
        before=[check for check in own if check.until <= since],
    )


def _checks_since(store: PredictionStore, champion: MonitoredModel, since: float) -> list[Check]:
    """The checks of the champion's version whose windows end at `since` or later."""
    checks = CheckLog(store).of_windows(since, champion.model.name)
    return [check for check in checks if check.model_version == champion.model.version]
