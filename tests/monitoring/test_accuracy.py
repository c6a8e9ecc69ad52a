"""Accuracy and F1 from a confusion table, with intervals that know how little they know."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from monitoring.accuracy import judge_accuracy
from monitoring.intervals import wilson
from monitoring.settings import MonitoringSettings
from monitoring.verdict import Accuracy
from stores.predictions import Outcome

LABELS = ("a", "b")
REFERENCE = pd.DataFrame({"label": ["a"] * 100 + ["b"] * 100, "predicted": ["a"] * 96 + ["b"] * 104})


def judged(cells: dict[tuple[str, str], int], **settings: float) -> Accuracy:
    """Judge a table of (predicted, true) → count."""
    return judge_accuracy(
        [Outcome(label, truth, count, 60.0) for (label, truth), count in cells.items()],
        predictions=1000,
        labels=LABELS,
        reference=REFERENCE,
        confidences=[0.9, 0.7],
        settings=MonitoringSettings(**settings),
        rng=np.random.default_rng(1),
    )


def test_figures_are_scikit_learns() -> None:
    cells = {("a", "a"): 40, ("b", "a"): 5, ("a", "b"): 10, ("b", "b"): 45}
    found = judged(cells)
    predicted = [label for (label, _), n in cells.items() for _ in range(n)]
    truth = [label for (_, label), n in cells.items() for _ in range(n)]
    assert found.macro_f1 is not None
    assert found.accuracy is not None
    assert found.macro_f1.value == pytest.approx(f1_score(truth, predicted, average="macro"))
    assert [score.f1.value for score in found.classes if score.f1] == pytest.approx(
        f1_score(truth, predicted, average=None)
    )
    assert found.accuracy.value == 0.85
    assert found.reference_accuracy == 0.98
    assert found.expected_accuracy == pytest.approx(0.8)
    assert found.coverage == 0.1


def test_wilsons_interval_by_hand() -> None:
    # 81 of 263 at 95 %: Newcombe 1998, table I
    found = wilson(81, 263, 0.05)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    assert wilson(10, 10, 0.01).high == 1.0
    assert wilson(10, 10, 0.01).low < 0.7
    assert wilson(0, 10, 0.01).low == 0.0


def test_a_few_unlucky_labels_alarm_nobody() -> None:
    found = judged({("a", "a"): 12, ("b", "b"): 12, ("a", "b"): 6})  # 80 % of 30
    assert found.status == "ok"
    assert found.fall is not None
    assert found.fall.value == pytest.approx(0.18)
    assert found.fall.low < 0.05


def test_many_labels_prove_the_same_fall() -> None:
    found = judged({("a", "a"): 400, ("b", "b"): 400, ("a", "b"): 200})
    assert found.status == "breach"
    assert "fell by 18.0 points" in found.words


def test_one_class_may_breach_alone() -> None:
    found = judged({("a", "a"): 940, ("a", "b"): 40, ("b", "b"): 20})
    assert {score.label: score.status for score in found.classes} == {"a": "ok", "b": "breach"}
    assert found.status == "breach"
    assert "F1 of b fell from 0.98 to 0.50" in found.words


def test_a_class_that_happens_to_be_all_right_is_not_certain() -> None:
    found = judged({("a", "a"): 30, ("b", "b"): 4})
    few = found.classes[1].f1
    assert few is not None
    assert few.value == 1.0
    assert few.low < 0.8


def test_absolute_thresholds() -> None:
    cells = {("a", "a"): 480, ("b", "b"): 480, ("a", "b"): 40}
    assert judged(cells).status == "ok"
    assert "below 99%" in judged(cells, monitoring_min_accuracy=0.99).words
    assert "below 0.99" in judged(cells, monitoring_min_macro_f1=0.99).words


def test_no_labels_are_too_few() -> None:
    found = judged({})
    assert found.status == "insufficient_data"
    assert found.mean_lag_seconds is None
    assert found.accuracy is None
