"""Evidently's own report beside ours, with *our* thresholds, so that both show the same verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from monitoring.signals.drift import Comparison
from monitoring.signals.quiet import numpy_state_kept
from monitoring.verdict import Drift

_METHODS = {"predicted_label": "jensenshannon"}


def write_evidently_page(
    comparisons: Sequence[Comparison], drift: Drift, path: Path, *, show_texts: bool
) -> dict[str, float]:
    """Write Evidently's HTML report of the judged signals.

    Args:
        comparisons: both sides of every signal.
        drift: the judgement: its thresholds are Evidently's.
        path: the HTML file.
        show_texts: include the text column, whose widget quotes texts.

    Returns:
        Signal → the score that Evidently computed.

    Raises:
        Exception: whatever Evidently raises; it has no error type of its own.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    thresholds = {
        signal.name: signal.threshold for signal in drift.signals if signal.status in ("ok", "breach")
    }
    scores: dict[str, float] = {}
    metrics, columns = [], []
    for item in comparisons:
        if item.name not in thresholds or (item.name == "text_content" and not show_texts):
            continue
        method = (
            "abs_text_content_drift"
            if item.name == "text_content"
            else _METHODS.get(item.name, "wasserstein")
        )
        metrics.append(ValueDrift(column=item.name, method=method, threshold=thresholds[item.name]))
        columns.append(item)
    if not metrics:
        raise ValueError("no signal could be judged")
    kinds = {
        "text_columns": [item.name for item in columns if item.name == "text_content"],
        "categorical_columns": [item.name for item in columns if item.name == "predicted_label"],
    }
    kinds["numerical_columns"] = [
        item.name for item in columns if item.name not in kinds["text_columns"] + kinds["categorical_columns"]
    ]
    before, now = (
        # Signals on words have fewer rows than the others; the gap at the end is missing values.
        Dataset.from_pandas(
            pd.DataFrame({item.name: pd.Series(list(getattr(item, side))) for item in columns}),
            data_definition=DataDefinition(**kinds),
        )
        for side in ("reference", "window")
    )
    with numpy_state_kept():
        snapshot = Report(metrics, include_tests=True).run(now, before)
        snapshot.save_html(str(path))
    for item, metric in zip(columns, snapshot.dict()["metrics"], strict=True):
        scores[item.name] = float(metric["value"])
    return scores
