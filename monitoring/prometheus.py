"""`monitoring.prom`: the verdict as metrics, for the textfile collector of Prometheus' node exporter."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from monitoring.verdict import Verdict

_STATUS = {"ok": 0, "insufficient_data": -1, "not_measured": -1, "breach": 1}


def write_metrics(verdict: Verdict, path: Path) -> None:
    """Write the metrics; by renaming, so that a scrape never sees half a file."""
    registry = CollectorRegistry()
    model = (verdict.model.name, verdict.model.version)

    def gauge(name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"champion_monitoring_{name}", meaning, ["model", "version", *labels], registry=registry)

    at = datetime.fromisoformat(verdict.checked_at).timestamp()
    gauge("checked_timestamp_seconds", "When the last check ran").labels(*model).set(at)
    gauge("status", "1: breach, 0: within thresholds, -1: too little data").labels(*model).set(
        _STATUS[verdict.status]
    )
    gauge("predictions", "Predictions in the window").labels(*model).set(verdict.window.predictions)
    statuses = gauge("signal_status", "1: breach, 0: within thresholds, -1: not judged", "signal")
    values = gauge("signal_value", "Effect size of a drift signal", "signal")
    thresholds = gauge("signal_threshold", "Effect size from which it is a breach", "signal")
    chances = gauge("signal_p_value", "Chance of it when nothing changed, corrected over signals", "signal")
    for signal in verdict.drift.signals:
        statuses.labels(*model, signal.name).set(_STATUS[signal.status])
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
            "expected_accuracy", "Mean confidence: an estimate without labels, too high under drift"
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
