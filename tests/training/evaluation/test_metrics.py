from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, precision_recall_fscore_support

from training.evaluation.calibration import calibration_error, fit_temperature, reliability
from training.evaluation.intervals import calibration_interval, share_interval
from training.evaluation.metrics import confusion_counts, evaluate, macro_f1, paired_difference

LABELS = ("a", "b", "c")


def probabilities(given_labels: list[int], confidence: float = 0.8) -> np.ndarray:
    """One row a text, `confidence` on the label given."""
    rows = np.full((len(given_labels), 3), (1 - confidence) / 2, dtype=np.float32)
    rows[np.arange(len(given_labels)), given_labels] = confidence
    return rows


@settings(deadline=None)  # the machine may be busy
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
        assert (found.precision.value, found.recall.value, found.f1.value, found.texts) == pytest.approx(
            (precision[position], recall[position], f1[position], support[position])
        )
    assert scores.confusion[2] == [1, 0, 2]
    assert scores.log_loss.value == pytest.approx(-(5 * np.log(0.8) + 2 * np.log(0.1)) / 7, rel=1e-5)


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


def test_interval_narrows_with_texts_and_repeats_with_the_seed() -> None:
    truth = [0, 1, 2, 0, 1, 2, 0, 1, 2, 0]
    chosen = [0, 1, 2, 0, 1, 2, 0, 2, 1, 1]

    def width(times: int, seed: int = 1) -> float:
        names = [LABELS[i] for i in truth * times]
        interval = evaluate(probabilities(chosen * times), names, LABELS, seed=seed).macro_f1
        return interval.high - interval.low

    assert width(100) < width(10) < width(1)
    assert width(10) == width(10)
    assert width(10) != width(10, seed=2)


def test_paired_difference_of_equal_and_better_models() -> None:
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


def test_paired_interval_is_narrower_than_unpaired() -> None:
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


def test_calibration_error_is_confidence_minus_accuracy() -> None:
    truth = np.array([0] * 6 + [1] * 4)
    found = calibration_error(probabilities([0] * 10, confidence=0.8), truth)
    assert found == pytest.approx(0.2, abs=1e-6)
    filled = [item for item in reliability(probabilities([0] * 10, confidence=0.8), truth) if item.texts]
    assert len(filled) == 1
    assert filled[0].accuracy == pytest.approx(0.6)


def test_few_correct_texts_do_not_make_answers_certain() -> None:
    right = np.asarray([[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]] * 4, dtype=np.float32)
    truth = np.asarray([0, 1, 2] * 4)
    assert 0.2 < fit_temperature(right, truth) < 0.6
    assert fit_temperature(np.tile(right, (100, 1)), np.tile(truth, 100)) < 0.15


def test_temperature_is_found_again() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20_000, 3)) * 2
    right = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    truth = (right.cumsum(axis=1) < rng.random((len(right), 1))).sum(axis=1)
    sharp = np.exp(logits * 3) / np.exp(logits * 3).sum(axis=1, keepdims=True)
    assert fit_temperature(sharp.astype(np.float32), truth) == pytest.approx(3, rel=0.05)
    assert fit_temperature(right.astype(np.float32), truth) == pytest.approx(1, rel=0.05)


def test_every_headline_figure_has_an_interval_around_it() -> None:
    truth, chosen = [0, 1, 2] * 60, ([0, 1, 2] * 50) + ([1, 2, 0] * 10)
    scores = evaluate(probabilities(chosen), [LABELS[i] for i in truth], LABELS, seed=0)
    assert set(scores.headlines) == {
        "accuracy", "macro_f1", "macro_precision", "macro_recall", "calibration_error", "log_loss",
    }  # fmt: skip
    for name, interval in scores.headlines.items():
        assert interval.low < interval.value < interval.high, name
    metrics = scores.metrics("test")
    assert metrics["test_log_loss_low"] < metrics["test_log_loss"] < metrics["test_log_loss_high"]
    assert metrics["test_f1_a_low"] < metrics["test_f1_a"] < metrics["test_f1_a_high"]
    precision, recall, _, _ = precision_recall_fscore_support(truth, chosen, average="macro")
    assert scores.macro_precision.value == pytest.approx(precision)
    assert scores.macro_recall.value == pytest.approx(recall)
    assert sum(item.texts for item in scores.bins) == len(truth)


def test_the_interval_of_the_calibration_error_covers_it() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for seed in range(60):
        confidence = rng.uniform(0.5, 1, 400)
        # Right ten points less often than it is sure: the error is 0.1.
        right = rng.random(400) < confidence - 0.1
        rows = np.stack([confidence, 1 - confidence], axis=1).astype(np.float32)
        found = calibration_interval(rows, np.where(right, 0, 1), seed=seed, resamples=200)
        assert found.low <= found.value <= found.high
        covered += found.low <= 0.1 <= found.high
    assert covered >= 51


def test_the_interval_of_a_share_is_wilsons() -> None:
    found = share_interval(18, 20)
    assert (found.low, found.high) == pytest.approx((0.699, 0.972), abs=0.001)
    assert share_interval(20, 20).high == 1
    assert share_interval(20, 20).low < 1
    with pytest.raises(ValueError, match="nothing"):
        share_interval(0, 0)
