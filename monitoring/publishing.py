"""What a check leaves behind: pages, verdict and metrics in a folder, a run in MLflow, a row in the store."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mlflow.exceptions import MlflowException

from monitoring.changes import apart_from
from monitoring.evidently_page import write_evidently_page
from monitoring.judgement import slow_only
from monitoring.prometheus import write_metrics
from monitoring.report import render_report
from monitoring.settings import MonitoringSettings
from monitoring.signals.comparison import OF_THE_SERVICE, Comparison
from monitoring.tracking import log_to_mlflow
from monitoring.verdict import Verdict
from monitoring.window import Window
from stores.errors import RegistryUnavailable
from stores.models import ModelRegistry
from stores.predictions.checks import Check

logger = logging.getLogger("monitoring")

REPORT, VERDICT, METRICS, EVIDENTLY = "report.html", "verdict.json", "monitoring.prom", "evidently.html"
LATEST = "latest"


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, and what its page shows beside it."""

    verdict: Verdict
    comparisons: list[Comparison]
    """Both sides of each signal."""

    window: Window
    before: list[Check]
    """Earlier checks of the same version."""


def publish(
    judged: Judged, settings: MonitoringSettings, registry: ModelRegistry, output: Path | None
) -> tuple[Verdict, Path]:
    """Write the page, Evidently's page, the verdict and the metrics, and log them to MLflow.

    Args:
        judged: what to write down.
        settings: whether texts may be shown, where files go, and how many older ones stay.
        registry: in whose MLflow the check becomes a run.
        output: folder for the files; None makes one under `var/monitoring` and points `latest` at it.

    Returns:
        The verdict, with notes on what could not be written, and the folder of the files.
    """
    verdict, comparisons, window = judged.verdict, judged.comparisons, judged.window
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
        history=[*apart_from(window.since, judged.before), row_of(verdict, window, folder / REPORT)],
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


def row_of(verdict: Verdict, window: Window, report: Path) -> Check:
    """The verdict as a row of the prediction store."""
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
