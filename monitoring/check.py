"""One check, from the store to the files: read this to see what monitoring does."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from mlflow.exceptions import MlflowException

from monitoring.accuracy import judge_accuracy
from monitoring.champion import Champion, find_champion
from monitoring.changes import apart_from, with_since
from monitoring.evidently_page import write_evidently_page
from monitoring.judgement import judge, slow_only
from monitoring.prometheus import write_metrics
from monitoring.report import render_report
from monitoring.settings import MonitoringSettings
from monitoring.signals.comparison import OF_THE_SERVICE, Comparison
from monitoring.signals.drift import measure_drift
from monitoring.tracking import log_to_mlflow
from monitoring.verdict import Verdict
from monitoring.window import Window, read_window
from stores.errors import RegistryUnavailable
from stores.models import ModelRegistry
from stores.predictions import PredictionStore
from stores.predictions.checks import Check, CheckLog
from stores.settings import PredictionSettings, SigningSettings, TrackingSettings

logger = logging.getLogger("monitoring")

REPORT, VERDICT, METRICS, EVIDENTLY = "report.html", "verdict.json", "monitoring.prom", "evidently.html"
LATEST = "latest"
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
        log = CheckLog(store)
        window = read_window(store, champion, since, until, max_texts=settings.monitoring_max_texts)
        before = [check for check in log.last(_CHECKS_BEFORE, champion.model.name) if check.until <= since]
        verdict, comparisons = _judged(champion, window, before, settings)
        before = [check for check in before if check.model_version == champion.model.version]
        verdict, folder = _publish(verdict, comparisons, window, before, settings, registry, output)
        return Checked(verdict, folder, log.add(_row(verdict, window, folder / REPORT)))
    finally:
        store.close()


def _judged(
    champion: Champion, window: Window, before: list[Check], settings: MonitoringSettings
) -> tuple[Verdict, list[Comparison]]:
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
    return judge(champion, window, drift, accuracy, settings, checked_at=time.time()), comparisons


def _row(verdict: Verdict, window: Window, report: Path) -> Check:
    return Check(
        checked_at=datetime.fromisoformat(verdict.checked_at).timestamp(),
        since=window.since,
        until=window.until,
        model_name=verdict.model.name,
        model_version=verdict.model.version,
        status=verdict.status,
        summary=verdict.summary,
        report=str(report.absolute()),
        signals={
            signal.name: {"value": signal.value, "threshold": signal.threshold, "status": signal.status}
            for signal in verdict.drift.signals
        },
        accuracy=verdict.accuracy.accuracy.value if verdict.accuracy.accuracy else None,
        labelled=verdict.accuracy.labelled,
        slow_only=slow_only(verdict.drift, verdict.accuracy),
    )


def _publish(
    verdict: Verdict,
    comparisons: list[Comparison],
    window: Window,
    before: list[Check],
    settings: MonitoringSettings,
    registry: ModelRegistry,
    output: Path | None,
) -> tuple[Verdict, Path]:
    folder = output or _new_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    show_texts = settings.monitoring_show_texts
    notes = list(verdict.notes)
    page: str | None = None
    if any(item.score is not None for item in comparisons if item.name not in OF_THE_SERVICE):
        try:
            write_evidently_page(comparisons, verdict.drift, folder / EVIDENTLY, show_texts=show_texts)
            page = EVIDENTLY
        except Exception as error:  # one metric that fails takes Evidently's whole report with it
            notes.append(f"Evidently's own page could not be made: {error}")
            logger.warning("evidently_failed", extra={"fields": {"reason": repr(error)}})
    verdict = verdict.model_copy(update={"notes": notes})
    html = render_report(
        verdict,
        comparisons,
        evidently_page=page,
        texts=window.distinct if show_texts else (),
        history=[*apart_from(window.since, before), _row(verdict, window, folder / REPORT)],
    )
    (folder / REPORT).write_text(html, encoding="utf-8")
    write_metrics(verdict, folder / METRICS)
    try:
        log_to_mlflow(registry, verdict, [_write_verdict(verdict, folder), folder / REPORT])
    except (RegistryUnavailable, MlflowException) as error:
        # The verdict matters more than its copy.
        notes.append("MLflow did not answer: this check is not logged there.")
        verdict = verdict.model_copy(update={"notes": notes})
        logger.warning("not_logged_to_mlflow", extra={"fields": {"reason": str(error)}})
    _write_verdict(verdict, folder)
    if output is None:
        _point_latest(folder)
        _remove_old(folder.parent, settings.monitoring_keep_reports)
    logger.info(
        "checked",
        extra={
            "fields": {"status": verdict.status, "summary": verdict.summary, "report": str(folder / REPORT)}
        },
    )
    return verdict, folder


def _write_verdict(verdict: Verdict, folder: Path) -> Path:
    path = folder / VERDICT
    parts = path.with_suffix(".parts")
    parts.write_text(verdict.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return parts.replace(path)


def _new_folder(settings: MonitoringSettings) -> Path:
    parent = settings.folder("monitoring")
    stem = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    for name in (stem, *(f"{stem}-{number}" for number in range(2, 1000))):
        try:
            (parent / name).mkdir()
        except FileExistsError:
            continue
        return parent / name
    raise FileExistsError(f"{parent / stem} and 998 like it exist")


def _point_latest(folder: Path) -> None:
    """Make `latest` a link to `folder`, by renaming, so that it is never missing."""
    link = folder.parent / LATEST
    new = folder.parent / f".{LATEST}-{folder.name}"
    new.symlink_to(folder.name, target_is_directory=True)
    new.replace(link)


def _remove_old(parent: Path, keep: int) -> None:
    folders = sorted(path for path in parent.glob("2*Z*") if path.is_dir() and not path.is_symlink())
    for old in folders[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
