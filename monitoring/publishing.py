"""Results of a check: pages, verdict and metrics in a folder, a run in MLflow, a row in the store."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from prometheus_client import CollectorRegistry, Gauge, generate_latest, write_to_textfile

from monitoring.drift.change_point import non_overlapping
from monitoring.drift.signal import Comparison
from monitoring.judgement import latency_only
from monitoring.progress import Step, silent
from monitoring.settings import MLFLOW_EXPERIMENT, MonitoringSettings
from monitoring.verdict import Drift, Verdict
from monitoring.window import Window
from stores.errors import RegistryUnavailable
from stores.predictions.checks import Check
from stores.registry import ModelRegistry
from stores.settings import VarSettings

logger = logging.getLogger("monitoring")

REPORT, VERDICT, METRICS, EVIDENTLY = "report.html", "verdict.json", "monitoring.prom", "evidently.html"
LATEST = "latest"

ReportMode = Literal["full", "breach", "none"]
"""Pages of a check. `full`: the report with its pictures, and Evidently's page; `breach`: the report, with pictures
where a threshold is breached; `none`: no page."""


@dataclass(frozen=True, slots=True)
class WindowResult:
    """A verdict, and what its page shows beside it."""

    verdict: Verdict
    comparisons: list[Comparison]
    """Both sides of each signal."""

    window: Window
    before: list[Check]
    """Earlier checks of the same version."""


def publish(
    judged: WindowResult,
    settings: MonitoringSettings,
    registry: ModelRegistry,
    output: Path | None,
    step: Step = silent,
    *,
    pages: ReportMode = "breach",
) -> tuple[Verdict, Path]:
    """Write the verdict, the metrics and the pages, and log them to MLflow.

    Args:
        judged: what to write down.
        settings: whether texts may be shown, where files go, and how many older ones stay.
        registry: in whose MLflow the check becomes a run.
        output: folder for the files; None makes one under `var/monitoring` and points `latest` at it.
        step: called with the current step.
        pages: which of them.

    Returns:
        The verdict, with notes on what could not be written, and the file to open: the report, or the verdict where
        there is no page.
    """
    verdict, comparisons, window = judged.verdict, judged.comparisons, judged.window
    folder = output or _new_folder(settings)
    folder.mkdir(parents=True, exist_ok=True)
    show_texts = settings.monitoring_show_texts
    report = folder / (VERDICT if pages == "none" else REPORT)
    for page in (REPORT, EVIDENTLY):  # of an earlier check of this folder
        (folder / page).unlink(missing_ok=True)
    notes = list(verdict.notes)
    if pages == "full" and any(item.score is not None for item in comparisons if not item.signal.of_service):
        step("Writing Evidently's page")
        notes += _evidently_page(comparisons, verdict, folder / EVIDENTLY, show_texts=show_texts)
    verdict = verdict.model_copy(update={"notes": notes})
    if pages != "none":
        from monitoring.report.render import render_report  # whose imports take memory that no page needs

        step("Writing the report")
        html = render_report(
            verdict,
            comparisons,
            pictures=pages == "full" or verdict.status == "breach",
            evidently_page=EVIDENTLY if (folder / EVIDENTLY).exists() else None,
            texts=window.distinct if show_texts else (),
            history=[*non_overlapping(window.since, judged.before), row_of(verdict, window, report)],
        )
        report.write_text(html, encoding="utf-8")
    write_metrics(verdict, folder / METRICS)
    step("Logging to MLflow")
    try:
        log_to_mlflow(registry, verdict, list(dict.fromkeys([_write_verdict(verdict, folder), report])))
    except RegistryUnavailable as error:
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
        extra={"fields": {"status": verdict.status, "summary": verdict.summary, "report": str(report)}},
    )
    return verdict, report


def _evidently_page(
    comparisons: list[Comparison], verdict: Verdict, path: Path, *, show_texts: bool
) -> list[str]:
    """Write Evidently's page; the notes on what kept it from being written."""
    from monitoring.report.evidently import write_evidently_page  # whose imports take seconds

    try:
        write_evidently_page(comparisons, verdict.drift, path, show_texts=show_texts)
    except Exception as error:  # one metric that fails takes Evidently's whole report with it
        path.unlink(missing_ok=True)
        logger.warning("evidently_failed", extra={"fields": {"reason": repr(error)}})
        return [f"Evidently's own page could not be made: {error}"]
    return []


def publish_failure(settings: VarSettings, model: str, output: Path | None, *, at: float) -> Path:
    """Note in the Prometheus textfile that a check could not run; returns the textfile.

    Args:
        settings: where `var/monitoring` is.
        model: name of the watched model.
        output: folder that the check was to write to; None: the latest check's, or a new one where there is none.
        at: seconds since the epoch.

    Raises:
        OSError: it cannot be written.
    """
    folder = output
    if folder is None:
        folder = settings.folder("monitoring") / LATEST
        if not folder.is_dir():
            folder = _new_folder(settings)
            _point_latest(folder)
    folder.mkdir(parents=True, exist_ok=True)
    write_failure(folder / METRICS, model, at)
    return folder / METRICS


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
        signals=signals_of(verdict.drift),
        accuracy=verdict.accuracy.accuracy.value if verdict.accuracy.accuracy else None,
        labelled=verdict.accuracy.labelled,
        latency_only=latency_only(verdict.drift, verdict.accuracy),
    )


def signals_of(drift: Drift) -> dict[str, dict[str, object]]:
    """What the history keeps of each signal: later checks date changes and judge alarms by it."""
    kept: dict[str, dict[str, object]] = {}
    for signal in drift.signals:
        kept[signal.name] = {"value": signal.value, "threshold": signal.threshold, "status": signal.status}
        if signal.evidence is not None:
            kept[signal.name]["evidence"] = signal.evidence
        if signal.alarm not in (None, "none"):
            kept[signal.name]["alarm"] = signal.alarm
        if signal.usual is not None and signal.status == "ok":
            kept[signal.name]["usual"] = True
        if signal.since is not None and signal.since.by == "within_window":
            # What later checks of the same run of breaches can no longer find.
            kept[signal.name]["since"] = signal.since.moment
    return kept


def _write_verdict(verdict: Verdict, folder: Path) -> Path:
    path = folder / VERDICT
    parts = path.with_suffix(".parts")
    parts.write_text(verdict.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return parts.replace(path)


def _new_folder(settings: VarSettings) -> Path:
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


_FAILED = "champion_monitoring_check_failed"
_FAILED_AT = "champion_monitoring_failed_timestamp_seconds"
_STATUS = {"ok": 0, "insufficient_data": -1, "not_measured": -1, "breach": 1}


def write_metrics(verdict: Verdict, path: Path) -> None:
    """Write the metrics; by renaming, so that a scrape never sees half a file."""
    registry = CollectorRegistry()
    model = (verdict.model.name, verdict.model.version)

    def gauge(name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"champion_monitoring_{name}", meaning, ["model", "version", *labels], registry=registry)

    at = datetime.fromisoformat(verdict.checked_at).timestamp()
    gauge("checked_timestamp_seconds", "When the last check ran").labels(*model).set(at)
    _failed(registry, verdict.model.name, None)
    gauge("status", "1: breach, 0: within thresholds, -1: too little data").labels(*model).set(
        _STATUS[verdict.status]
    )
    gauge("alarm", "1: the checks so far are an alarm, 0: they are none").labels(*model).set(verdict.alarms)
    gauge("predictions", "Predictions in the window").labels(*model).set(verdict.window.predictions)
    statuses = gauge("signal_status", "1: breach, 0: within thresholds, -1: not judged", "signal")
    values = gauge("signal_value", "Effect size of a drift signal", "signal")
    thresholds = gauge("signal_threshold", "Effect size from which it is a breach", "signal")
    chances = gauge("signal_p_value", "Chance of it when nothing changed, corrected over signals", "signal")
    alarms = gauge(
        "signal_alarm", "1: the checks so far are an alarm by this signal, 0: they are none", "signal"
    )
    for signal in verdict.drift.signals:
        statuses.labels(*model, signal.name).set(_STATUS[signal.status])
        alarms.labels(*model, signal.name).set(signal.alarm not in (None, "none"))
        for metric, value in (
            (values, signal.value),
            (thresholds, signal.threshold),
            (chances, signal.p_adjusted),
        ):
            if value is not None:
                metric.labels(*model, signal.name).set(value)
    accuracy = verdict.accuracy
    gauge("accuracy_status", "1: breach, 0: within thresholds, -1: too few labels").labels(*model).set(
        _STATUS[accuracy.status]
    )
    gauge("reference_accuracy", "Accuracy on the held-out texts, when the model was registered").labels(
        *model
    ).set(accuracy.reference_accuracy)
    if accuracy.expected_accuracy is not None:
        gauge(
            "expected_accuracy", "Estimate without labels; absent where many texts are unlike the reference"
        ).labels(*model).set(accuracy.expected_accuracy)
    gauge("labelled", "Predictions in the window whose truth is known").labels(*model).set(accuracy.labelled)
    for name, estimate in (("accuracy", accuracy.accuracy), ("macro_f1", accuracy.macro_f1)):
        if estimate is not None:
            bounds = gauge(name, "With its interval", "bound")
            for bound in ("value", "low", "high"):
                bounds.labels(*model, bound).set(getattr(estimate, bound))
    by_class = [score for score in accuracy.classes if score.f1 is not None]
    if by_class:
        f1 = gauge("class_f1", "F1 of a class", "class")
        for score in by_class:
            assert score.f1 is not None
            f1.labels(*model, score.label).set(score.f1.value)
    write_to_textfile(str(path), registry)


def write_failure(path: Path, model: str, at: float) -> None:
    """Note in the textfile that a check could not run; the figures of the last one that could stay in it.

    Args:
        path: the textfile; it need not exist.
        model: name of the watched model.
        at: seconds since the epoch.
    """
    kept = ""
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept = "".join(line for line in lines if _FAILED not in line and _FAILED_AT not in line)
    registry = CollectorRegistry()
    _failed(registry, model, at)
    parts = path.with_suffix(".prom.parts")
    parts.write_text(kept + generate_latest(registry).decode(), encoding="utf-8")
    parts.replace(path)


def _failed(registry: CollectorRegistry, model: str, at: float | None) -> None:
    failed = Gauge(_FAILED, "1: the last check could not run, 0: it could", ["model"], registry=registry)
    failed.labels(model).set(at is not None)
    if at is not None:
        Gauge(_FAILED_AT, "When the last check could not run", ["model"], registry=registry).labels(
            model
        ).set(at)


def log_to_mlflow(registry: ModelRegistry, verdict: Verdict, files: list[Path]) -> str:
    """Log metrics, tags and `files` of a check; returns the run's id.

    Raises:
        RegistryUnavailable: MLflow does not answer, or refuses.
    """
    return registry.log_finished_run(
        MLFLOW_EXPERIMENT,
        f"check {verdict.checked_at}",
        tags={
            "verdict": verdict.status,
            "model_name": verdict.model.name,
            "model_version": verdict.model.version,
            "window_since": verdict.window.since,
            "window_until": verdict.window.until,
            "mlflow.note.content": verdict.summary,
        },
        metrics=_metrics(verdict),
        files=files,
    )


def _metrics(verdict: Verdict) -> dict[str, float]:
    metrics: dict[str, float | None] = {
        "predictions": verdict.window.predictions,
        "breach": float(verdict.status == "breach"),
        "labelled": verdict.accuracy.labelled,
        "label_coverage": verdict.accuracy.coverage,
        "expected_accuracy": verdict.accuracy.expected_accuracy,
    }
    for signal in verdict.drift.signals:
        metrics[f"{signal.name}.value"] = signal.value
        metrics[f"{signal.name}.threshold"] = signal.threshold
        metrics[f"{signal.name}.p_adjusted"] = signal.p_adjusted
    for name, estimate in (("accuracy", verdict.accuracy.accuracy), ("macro_f1", verdict.accuracy.macro_f1)):
        if estimate is not None:
            metrics |= {name: estimate.value, f"{name}.low": estimate.low, f"{name}.high": estimate.high}
    return {name: float(value) for name, value in metrics.items() if value is not None}
