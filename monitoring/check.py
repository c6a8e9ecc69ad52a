"""One check, from the store to the files: read this to see what monitoring does."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monitoring.accuracy import judge_accuracy
from monitoring.champion import Champion, find_champion
from monitoring.changes import with_since
from monitoring.judgement import judge
from monitoring.publishing import REPORT, Judged, publish, row_of
from monitoring.settings import MonitoringSettings
from monitoring.signals.drift import measure_drift
from monitoring.verdict import Verdict
from monitoring.window import read_window
from stores.models import ModelRegistry
from stores.predictions import PredictionStore
from stores.predictions.checks import CheckLog
from stores.settings import PredictionSettings, SigningSettings, TrackingSettings

_CHECKS_BEFORE = 2000
"""Earlier checks that are read for "since when": three weeks of one every 15 minutes."""
_SEED = 20
"""The same window gets the same verdict, to the last digit."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check left behind."""

    verdict: Verdict
    folder: Path
    """Holds `report.html`, `evidently.html`, `verdict.json` and `monitoring.prom`."""

    check_id: int
    """Of its row in the prediction store."""

    @property
    def report(self) -> Path:
        """The page to open."""
        return self.folder / REPORT


def run_check(
    since: float,
    until: float,
    settings: MonitoringSettings,
    *,
    tracking: TrackingSettings,
    predictions: PredictionSettings,
    signing: SigningSettings,
    output: Path | None = None,
) -> Checked:
    """Check the served model's predictions with `since` <= time < `until` (seconds since the epoch).

    Args:
        since: the window begins with it.
        until: the window ends before it.
        settings: thresholds and sizes.
        tracking: where the served model is registered, and which it is.
        predictions: where its answers are kept.
        signing: whether its bundle must be signed.
        output: folder for the files; None makes one under `var/monitoring` and points `latest` at it.

    Raises:
        MonitoringError, StoreError, BundleError: the check could not run; the message says what to do.
    """
    registry = ModelRegistry(tracking)
    champion = find_champion(registry, tracking, signing)
    store = PredictionStore.open(predictions.url)
    try:
        judged = judge_window(store, champion, since, until, settings)
        verdict, folder = publish(judged, settings, registry, output)
        return Checked(verdict, folder, CheckLog(store).add(row_of(verdict, judged.window, folder / REPORT)))
    finally:
        store.close()


def judge_window(
    store: PredictionStore, champion: Champion, since: float, until: float, settings: MonitoringSettings
) -> Judged:
    """Judge the champion's predictions with `since` <= time < `until`, and write nothing anywhere.

    Raises:
        MonitoringError, StoreError: it could not be judged; the message says what to do.
    """
    window = read_window(store, champion, since, until, max_texts=settings.monitoring_max_texts)
    earlier = CheckLog(store).last(_CHECKS_BEFORE, champion.model.name)
    before = [check for check in earlier if check.until <= since]
    rng = np.random.default_rng(_SEED)
    drift, comparisons = measure_drift(champion.reference, window, settings, rng)
    accuracy = judge_accuracy(
        window.outcomes,
        predictions=window.predictions,
        labels=champion.labels,
        reference=champion.reference,
        confidences=[row.score for row in window.answers],
        settings=settings,
        rng=rng,
        queue=window.queue,
    )
    drift = with_since(drift, window.since, before, champion.model.version, rng)
    verdict = judge(champion, window, drift, accuracy, settings, checked_at=time.time())
    return Judged(
        verdict,
        comparisons,
        window,
        before=[check for check in before if check.model_version == champion.model.version],
    )
