from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_recall_fscore_support

from training.calibration import calibration_error, fit_temperature, reliability
from training.evaluation import confusion_counts, evaluate, macro_f1, paired_difference

LABELS = ("a", "b", "c")


def probabilities(given_labels: list[int], confidence: float = 0.8) -> np.ndarray:
    """One row a text, `confidence` on the label given."""
    rows = np.full((len(given_labels), 3), (1 - confidence) / 2, dtype=np.float32)
    rows[np.arange(len(given_labels)), given_labels] = confidence
    return rows


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=60))
def test_macro_f1_is_scikit_learns_over_the_labels_that_occur(pairs: list[tuple[int, int]]) -> None:
    truth, chosen = np.array(pairs).T
    expected = f1_score(truth, chosen, average="macro", zero_division=0)
    assert float(macro_f1(confusion_counts(truth, chosen, 3))) == pytest.approx(expected)


def test_per_class_figures_are_scikit_learns() -> None:
    truth, chosen = [0, 0, 1, 1, 2, 2, 2], [0, 1, 1, 1, 2, 0, 2]
    scores = evaluate(probabilities(chosen), [LABELS[i] for i in truth], LABELS, seed=0)
    precision, recall, f1, support = precision_recall_fscore_support(truth, chosen)
    for position, label in enumerate(LABELS):
        found = scores.classes[label]
        assert (found.precision, found.recall, found.f1, found.texts) == pytest.approx(
            (precision[position], recall[position], f1[position], support[position])
        )
    assert scores.confusion[2] == [1, 0, 2]
    assert scores.log_loss == pytest.approx(-(5 * np.log(0.8) + 2 * np.log(0.1)) / 7, rel=1e-5)


def test_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        truth = rng.integers(0, 3, 300)
        right = rng.random(300) < 0.85
        chosen = np.where(right, truth, (truth + 1) % 3)
        scores = evaluate(
            probabilities(chosen.tolist()), [LABELS[i] for i in truth], LABELS, seed=seed, resamples=400
        )
        covered += scores.accuracy.low <= 0.85 <= scores.accuracy.high
    assert 180 <= covered <= 199  # 95 % of 200, give or take three standard errors


def test_interval_narrows_with_more_texts_and_is_the_same_for_the_same_seed() -> None:
    truth = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    chosen = [0, 1, 2, 0, 1, 2, 0, 2, 1, 1]

    def width(times: int, seed: int = 1) -> float:
        names = [LABELS[i] for i in truth * times]
        interval = evaluate(probabilities(chosen * times), names, LABELS, seed=seed).macro_f1
        return interval.high - interval.low

    assert width(100) < width(10) < width(1)
    assert width(10) == width(10)
    assert width(10) != width(10, seed=2)


def test_paired_difference_is_nil_for_equals_and_sure_for_better() -> None:
    truth = [0, 1, 2] * 100
    names = [LABELS[i] for i in truth]
    worse = [0, 1, 1] * 20 + [0, 1, 2] * 80
    same = paired_difference(probabilities(worse), probabilities(worse), names, LABELS, seed=0)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    better = paired_difference(probabilities(truth), probabilities(worse), names, LABELS, seed=0)
    assert better.low > 0
    assert better.low < better.value < better.high
    back = paired_difference(probabilities(worse), probabilities(truth), names, LABELS, seed=0)
    assert back.value == pytest.approx(-better.value)
    expected = 1 - f1_score(truth, worse, average="macro")
    assert better.value == pytest.approx(expected)


def test_paired_interval_is_narrower_than_unpaired_ones_would_be() -> None:
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 400)
    # Both fail on the same hard texts; the better one is right on a few more.
    hard = rng.random(400) < 0.3
    worse = np.where(hard, (truth + 1) % 3, truth)
    mended = worse.copy()
    mended[np.flatnonzero(hard)[:12]] = truth[np.flatnonzero(hard)[:12]]
    names = [LABELS[i] for i in truth]
    gain = paired_difference(
        probabilities(mended.tolist()), probabilities(worse.tolist()), names, LABELS, seed=0
    )
    alone = evaluate(probabilities(worse.tolist()), names, LABELS, seed=0).macro_f1
    assert gain.high - gain.low < (alone.high - alone.low) / 2
    assert gain.low > 0


def test_calibration_error_is_the_gap_between_confidence_and_accuracy() -> None:
    truth = np.array([0] * 6 + [1] * 4)
    found = calibration_error(probabilities([0] * 10, confidence=0.8), truth)
    assert found == pytest.approx(0.2, abs=1e-6)
    filled = [item for item in reliability(probabilities([0] * 10, confidence=0.8), truth) if item.texts]
    assert len(filled) == 1
    assert filled[0].accuracy == pytest.approx(0.6)


def test_temperature_is_found_again() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3)) * 2
    right = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (right.cumsum(axis=1) < rng.random((len(right), 1))).sum(axis=1)
    sharp = np.exp(logits * 3) / np.exp(logits * 3).sum(axis=1, keepdims=True)
    assert fit_temperature(sharp.astype(np.float32), truth) == pytest.approx(3, rel=0.05)
    assert fit_temperature(right.astype(np.float32), truth) == pytest.approx(1, rel=0.05)
