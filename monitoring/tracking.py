"""The verdict in MLflow: experiment `monitoring`, one run a check."""

from __future__ import annotations

from pathlib import Path

import mlflow

from monitoring.verdict import Verdict
from stores.models import ModelRegistry

EXPERIMENT = "monitoring"


def log_to_mlflow(registry: ModelRegistry, verdict: Verdict, files: list[Path]) -> str:
    """Log metrics, tags and `files` of a check; returns the run's id.

    Raises:
        RegistryUnavailable: MLflow does not answer.
        MlflowException: MLflow refuses.
    """
    with registry.run(EXPERIMENT, f"check {verdict.checked_at}") as run:
        mlflow.set_tags(
            {
                "verdict": verdict.status,
                "model_name": verdict.model.name,
                "model_version": verdict.model.version,
                "window_since": verdict.window.since,
                "window_until": verdict.window.until,
                "mlflow.note.content": verdict.summary,
            }
        )
        mlflow.log_metrics(_metrics(verdict))
        for file in files:
            mlflow.log_artifact(str(file))
        return str(run.info.run_id)


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
