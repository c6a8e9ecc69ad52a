"""Evidently's own report beside ours, with *our* thresholds, so that both show the same verdict."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from monitoring.signals.comparison import Comparison
from monitoring.signals.quiet import numpy_state_kept
from monitoring.verdict import Drift, Signal

_METHODS = {"texts": "abs_text_content_drift", "mix": "jensenshannon", "numbers": "wasserstein"}
"""Kind of signal → what Evidently calls the same measure."""


def write_evidently_page(
    comparisons: Sequence[Comparison], drift: Drift, path: Path, *, show_texts: bool
) -> dict[str, float]:
    """Write Evidently's HTML report of the judged signals.

    Where Evidently has the measure, it computes and draws it again; the others, and the texts where they may not be
    quoted, stand there as a metric of our own (`monitoring.evidently_metric`) with its test.

    Args:
        comparisons: both sides of every signal.
        drift: the judgement: its thresholds are Evidently's.
        path: the HTML file.
        show_texts: include the text column, whose widget quotes texts.

    Returns:
        Signal → the score on the page.

    Raises:
        Exception: whatever Evidently raises; it has no error type of its own.
    """
    from evidently import Report

    judged = {signal.name: signal for signal in drift.signals if signal.status in ("ok", "breach")}
    shown = [item for item in comparisons if item.name in judged]
    if not shown:
        raise ValueError("no signal could be judged")
    columns = [item for item in shown if item.kind in _METHODS and (item.kind != "texts" or show_texts)]
    drawn = {item.name for item in columns}
    metrics = [_metric(item, judged[item.name], item.name in drawn) for item in shown]
    with numpy_state_kept():
        snapshot = Report(metrics, include_tests=True).run(
            _dataset(columns, "window"), _dataset(columns, "reference")
        )
        snapshot.save_html(str(path))
    values = [float(metric["value"]) for metric in snapshot.dict()["metrics"]]
    return {item.name: value for item, value in zip(shown, values, strict=True)}


def _metric(item: Comparison, signal: Signal, drawn: bool) -> Any:
    if drawn:
        from evidently.metrics import ValueDrift

        return ValueDrift(column=item.name, method=_METHODS[item.kind], threshold=signal.threshold)
    from monitoring.evidently_metric import score_metric

    return score_metric(signal)


def _dataset(columns: Sequence[Comparison], side: str) -> Any:
    from evidently import DataDefinition, Dataset

    def named(kind: str) -> list[str]:
        return [item.name for item in columns if item.kind == kind]

    return Dataset.from_pandas(
        # Signals on words have fewer rows than the others; the gap at the end is missing values.
        pd.DataFrame({item.name: pd.Series(list(getattr(item, side))) for item in columns}),
        data_definition=DataDefinition(
            text_columns=named("texts"),
            categorical_columns=named("mix"),
            numerical_columns=named("numbers"),
        ),
    )
