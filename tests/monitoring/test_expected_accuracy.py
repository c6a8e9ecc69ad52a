"""How well the accuracy that is expected without labels tracks the real one, when the traffic shifts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from classifier.reference import PROBABILITY_PREFIX, read_reference
from monitoring.expected_accuracy import (
    MOST_NOVEL,
    Calibration,
    expect_accuracy,
    fit_calibration,
    novel_share,
)
from stores.predictions import LabelledPrediction
from tests.monitoring.conftest import House, comparison, mistyped, normal
from tests.support.bundles import bbc_part

WINDOW = 200
Unseen = dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]]


def first_half(text: str) -> str:
    words = text.split()
    return " ".join(words[: len(words) // 2])


def last_half(text: str) -> str:
    words = text.split()
    return " ".join(words[len(words) // 2 :])


SHORTENED: dict[str, Callable[[str], str]] = {
    "whole": lambda text: text,
    "first half": first_half,
    "last half": last_half,
}


@pytest.fixture
def unseen(house: House) -> Unseen:
    """Shortening → probabilities and true classes of 1,335 articles that the champion never saw."""
    found = {}
    parts = [bbc_part(start) for start in (2, 3, 4)]
    texts, labels = [text for part in parts for text in part[0]], [name for part in parts for name in part[1]]
    truth = np.array([house.classifier.labels.index(name) for name in labels])
    for name, shorten in SHORTENED.items():
        probabilities = house.classifier.classify([shorten(text) for text in texts]).probabilities
        found[name] = np.asarray(probabilities, dtype=float), truth
    return found


def calibrated(house: House) -> Calibration:
    reference = read_reference(house.classifier.folder)
    columns = [PROBABILITY_PREFIX + name for name in house.classifier.labels]
    truth = np.array([house.classifier.labels.index(name) for name in reference["label"]])
    return fit_calibration(reference[columns].to_numpy(dtype=float), truth)


def mixes(rng: np.random.Generator, truth: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Rows of windows: the usual mix, one class at 60 %, one class gone, mixes drawn at random."""
    classes = int(truth.max()) + 1
    usual = np.bincount(truth) / len(truth)
    shares = [usual] * 4
    for place in range(classes):
        shares.append(np.where(np.arange(classes) == place, 0.6, 0.4 / (classes - 1)))
        gone = np.where(np.arange(classes) == place, 0.0, usual)
        shares.append(gone / gone.sum())
    shares += list(rng.dirichlet(np.full(classes, 2.0), size=10))
    rows = []
    for share in shares:
        counts = rng.multinomial(WINDOW, share)
        rows.append(
            np.concatenate(
                [rng.choice(np.flatnonzero(truth == place), count) for place, count in enumerate(counts)]
            )
        )
    return rows


def errors_and_coverage(
    calibration: Calibration, probabilities: NDArray[np.float64], truth: NDArray[np.int64]
) -> tuple[list[float], list[bool]]:
    """For each window: the estimate less the accuracy of its traffic; whether the interval holds its own accuracy."""
    right = probabilities.argmax(axis=1) == truth
    of_class = np.array([right[truth == place].mean() for place in range(int(truth.max()) + 1)])
    errors, covered = [], []
    rng = np.random.default_rng(0)
    for rows in [rows for _ in range(4) for rows in mixes(rng, truth)]:
        estimate = calibration.estimate(probabilities[rows], alpha=0.01)
        errors.append(float(estimate.value - of_class[truth[rows]].mean()))
        covered.append(bool(estimate.low <= right[rows].mean() <= estimate.high))
    return errors, covered


def test_expected_accuracy_tracks_shifts_within_classes(house: House, unseen: Unseen) -> None:
    calibration = calibrated(house)
    found = {name: errors_and_coverage(calibration, *probabilities) for name, probabilities in unseen.items()}
    near = [error for name in ("whole", "first half") for error in found[name][0]]
    assert np.mean(np.abs(near) <= 0.02) >= 0.9
    # The end of an article leaves its subject to be guessed: the estimate is too low there.
    assert np.mean(np.abs(found["last half"][0]) <= 0.04) >= 0.9
    assert np.mean([inside for _, covered in found.values() for inside in covered]) >= 0.9


def test_interval_narrows_with_reference_and_window() -> None:
    rng = np.random.default_rng(1)

    def width(texts: int, answers: int) -> float:
        confidence = rng.uniform(0.6, 1.0, max(texts, answers))
        probabilities = np.column_stack([confidence, 1 - confidence])
        truth = (rng.random(len(confidence)) > confidence).astype(int)
        estimate = fit_calibration(probabilities[:texts], truth[:texts]).estimate(
            probabilities[:answers], 0.01
        )
        return estimate.high - estimate.low

    assert width(100, 100_000) > 2 * width(2000, 100_000), "the calibration's error remains"
    assert width(2000, 100) > 2 * width(2000, 2000)


def test_calibration_differs_by_class() -> None:
    rng = np.random.default_rng(2)
    answered = rng.integers(0, 2, 4000)
    # Confidence 0.8 in both classes; answers "a" are right in 95 %, answers "b" in 65 % of cases.
    right = rng.random(4000) < np.where(answered == 0, 0.95, 0.65)
    truth = np.where(right, answered, 1 - answered)
    one_hot = np.eye(2)[answered]
    calibration = fit_calibration(0.2 + 0.6 * one_hot, truth)
    only_b = calibration.estimate(np.tile([0.2, 0.8], (500, 1)), 0.01)
    assert only_b.value == pytest.approx(0.65, abs=0.04)


REFERENCE = pd.DataFrame(
    {
        "label": ["a"] * 50 + ["b"] * 50,
        "predicted": ["a"] * 45 + ["b"] * 55,
        "p_a": [0.9] * 45 + [0.1] * 55,
        "p_b": [0.1] * 45 + [0.9] * 55,
    }
)


def answers(count: int) -> list[LabelledPrediction]:
    return [
        LabelledPrediction(
            text=f"text {number}", label="a", score=0.9, scores={"a": 0.9, "b": 0.1}, tokens=2, truncated=False,
            model_name="news", model_version="1",
        )
        for number in range(count)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("share", "estimated"), [(MOST_NOVEL, True), (MOST_NOVEL + 0.01, False), (None, True)]
)
def test_no_estimate_where_many_texts_are_novel(share: float | None, estimated: bool) -> None:
    found = expect_accuracy(answers(60), REFERENCE, ("a", "b"), novel_share=share, alpha=0.01)
    assert (found.estimate is not None) == estimated
    assert found.mean_confidence == pytest.approx(0.9)


def test_few_answers_get_no_estimate() -> None:
    assert expect_accuracy(answers(5), REFERENCE, ("a", "b"), novel_share=0.0, alpha=0.01).estimate is None
    assert expect_accuracy([], REFERENCE, ("a", "b"), novel_share=None, alpha=0.01).mean_confidence is None


def test_novel_share_counts_texts_beyond_the_reference() -> None:
    item = comparison("unseen_words", list(range(100)), [0.0] * 30 + [99.0] * 10)
    assert novel_share([item], 80) == 10 / 80, "40 of the texts stand in the reference"
    assert novel_share([], 80) is None


def test_check_states_the_estimate_and_its_interval(house: House) -> None:
    texts, labels = normal(200)
    house.answer(texts, labels=labels)
    accuracy = house.verdict().accuracy
    assert accuracy.accuracy is not None
    assert accuracy.expected is not None
    assert accuracy.expected.estimate is not None
    assert accuracy.expected_accuracy == accuracy.expected.estimate.value
    assert accuracy.expected_accuracy == pytest.approx(accuracy.accuracy.value, abs=0.02)
    assert accuracy.expected.estimate.low < accuracy.accuracy.value < accuracy.expected.estimate.high


def test_check_estimates_nothing_for_texts_of_no_class(house: House) -> None:
    house.answer(
        [f"texto número {place} {text[:40]}" for place, text in enumerate(mistyped(normal(80)[0], 0.8))]
    )
    accuracy = house.verdict().accuracy
    assert accuracy.expected is not None
    assert accuracy.expected.novel_share == 1.0
    assert accuracy.expected_accuracy is None
