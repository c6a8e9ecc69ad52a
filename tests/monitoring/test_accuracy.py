"""Accuracy and F1 from a confusion table, with intervals that know how little they know."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from monitoring.accuracy import accuracy_floors, judge_accuracy, wilson_interval
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
        expected=None,
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
    assert found.coverage == 0.1


def test_wilsons_interval_by_hand() -> None:
    # 81 of 263 at 95 %: Newcombe 1998, table I
    found = wilson_interval(81, 263, 0.05)
    assert (round(found.low, 4), round(found.high, 4)) == (0.2553, 0.3662)
    assert wilson_interval(10, 10, 0.01).high == 1.0
    assert wilson_interval(10, 10, 0.01).low < 0.7
    assert wilson_interval(0, 10, 0.01).low == 0.0


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
    assert "below 99.0%" in judged(cells, monitoring_min_accuracy=0.99).words
    assert "below 0.99" in judged(cells, monitoring_min_macro_f1=0.99).words


def hard_reference(right: float, classes: int = 77, of_each: int = 40) -> pd.DataFrame:
    """Held-out texts of many classes, of which the share `right` was answered right."""
    label = np.repeat([f"intent {number:02}" for number in range(classes)], of_each)
    predicted = np.roll(label, of_each)
    kept = np.arange(len(label)) % of_each < round(right * of_each)
    return pd.DataFrame({"label": label, "predicted": np.where(kept, label, predicted)})


def outcomes_of(frame: pd.DataFrame) -> list[Outcome]:
    counts = frame.groupby(["predicted", "label"]).size()
    return [Outcome(predicted, label, int(count), 60.0) for (predicted, label), count in counts.items()]


@pytest.mark.parametrize(("right", "status"), [(0.675, "ok"), (0.45, "breach")])
def test_floors_follow_from_the_figures_at_registration(right: float, status: str) -> None:
    reference = hard_reference(0.675)
    found = judge_accuracy(
        outcomes_of(hard_reference(right)),
        predictions=10_000,
        labels=sorted(set(reference["label"])),
        reference=reference,
        expected=None,
        settings=MonitoringSettings(),
        rng=np.random.default_rng(1),
    )
    assert found.status == status
    floor = found.macro_f1_floor
    assert floor is not None
    assert floor.by == "registration"
    truth, given = reference["label"], reference["predicted"]
    assert floor.reached.value == pytest.approx(f1_score(truth, given, average="macro"))
    assert floor.value == pytest.approx(floor.reached.low - 0.05)
    assert 0.5 < floor.value < 0.675 - 0.05, "its interval comes off, too"
    assert ("floor that follows from" in found.words) is (status == "breach")


def test_a_set_floor_holds_and_few_texts_lower_a_derived_one() -> None:
    few, rng = REFERENCE[90:110].reset_index(drop=True), np.random.default_rng(1)
    accuracy, macro = accuracy_floors(few, MonitoringSettings(), rng)
    assert accuracy.reached.value - accuracy.value > 0.2
    assert 0 < macro.value < macro.reached.value
    accuracy, macro = accuracy_floors(few, MonitoringSettings(monitoring_min_accuracy=0.9), rng)
    assert (accuracy.value, accuracy.by, macro.by) == (0.9, "setting", "registration")


def test_no_labels_are_too_few() -> None:
    found = judged({})
    assert found.status == "insufficient_data"
    assert found.mean_lag_seconds is None
    assert found.accuracy is None
