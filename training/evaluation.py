"""How good a classifier is on labelled texts, and how sure one may be of it: figures with bootstrap intervals.

Accuracy, precision, recall and F1 depend on nothing but how often each label was given where each was true. So
resampling texts is the same as drawing those counts anew from a multinomial (Efron and Tibshirani, *An Introduction to
the Bootstrap*, 1993, ch. 6), which takes milliseconds whatever the number of texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.runtime import Probabilities
from training.calibration import calibration_error

Counts = NDArray[np.float64]
"""(…, k, k): how often label j was given where label i was true."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its percentile bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, slots=True)
class ClassScores:
    """One label's figures; 0 where there is nothing to count."""

    precision: float
    recall: float
    f1: float
    texts: int
    """Texts of which the label is true."""


@dataclass(frozen=True)
class Scores:
    """What a classifier reached on one part of the data."""

    texts: int
    accuracy: Interval
    macro_f1: Interval
    calibration_error: float
    """Expected calibration error: by how much confidence and accuracy differ, on average."""
    log_loss: float
    """Mean negative log-probability of the true label, in nats."""
    classes: dict[str, ClassScores]
    confusion: list[list[int]]
    """Row: true label, column: given label, both in the order of `classes`."""

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON can write it."""
        return asdict(self)

    def metrics(self, part: str) -> dict[str, float]:
        """The headline figures by the names MLflow keeps them under: `test_macro_f1`, `test_macro_f1_low`, …"""
        figures = {
            "calibration_error": self.calibration_error,
            "log_loss": self.log_loss,
            "texts": float(self.texts),
        }
        for name, interval in (("accuracy", self.accuracy), ("macro_f1", self.macro_f1)):
            figures |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
        for label, scores in self.classes.items():
            figures[f"f1_{label}"] = scores.f1
        return {f"{part}_{name}": value for name, value in figures.items()}


def evaluate(
    probabilities: Probabilities,
    truth: Sequence[str],
    labels: Sequence[str],
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Scores:
    """Figures of `probabilities` (n, labels) against the n true labels."""
    positions = positions_of(truth, labels)
    given = probabilities.argmax(axis=1)
    counts = confusion_counts(positions, given, len(labels))
    draws = _resampled(counts.ravel(), resamples, seed).reshape(resamples, *counts.shape)
    precision, recall, f1 = _per_class(counts)
    own = probabilities[np.arange(len(positions)), positions].astype(np.float64)
    return Scores(
        texts=len(positions),
        accuracy=_interval(float(_accuracy(counts)), _accuracy(draws), confidence),
        macro_f1=_interval(float(macro_f1(counts)), macro_f1(draws), confidence),
        calibration_error=calibration_error(probabilities, positions),
        log_loss=float(-np.log(np.clip(own, 1e-12, 1.0)).mean()),
        classes={
            label: ClassScores(float(precision[i]), float(recall[i]), float(f1[i]), int(counts[i].sum()))
            for i, label in enumerate(labels)
        },
        confusion=counts.astype(int).tolist(),
    )


def paired_difference(
    challenger: Probabilities,
    champion: Probabilities,
    truth: Sequence[str],
    labels: Sequence[str],
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Macro-F1 of `challenger` minus that of `champion`, both (n, labels) on the same n texts.

    Paired: each resample draws texts, and both are judged on what was drawn. That they find the same texts hard does
    not blur the difference then, as it would if each had an interval of its own.
    """
    k = len(labels)
    cells = (positions_of(truth, labels) * k + challenger.argmax(axis=1)) * k + champion.argmax(axis=1)
    counts = np.bincount(cells, minlength=k**3).astype(np.float64)
    draws = _resampled(counts, resamples, seed).reshape(resamples, k, k, k)

    def difference(joint: Counts) -> NDArray[np.float64]:
        return macro_f1(joint.sum(axis=-1)) - macro_f1(joint.sum(axis=-2))

    return _interval(float(difference(counts.reshape(k, k, k))), difference(draws), confidence)


def positions_of(truth: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """Each true label's position in `labels`."""
    position = {label: index for index, label in enumerate(labels)}
    return np.asarray([position[label] for label in truth], dtype=np.int64)


def confusion_counts(truth: NDArray[np.int64], given: NDArray[np.int64], k: int) -> Counts:
    """(k, k) counts; row: true label, column: given label."""
    return np.bincount(truth * k + given, minlength=k * k).reshape(k, k).astype(np.float64)


def macro_f1(counts: Counts) -> NDArray[np.float64]:
    """Mean F1 over the labels that are true of some text or given to some; (…) for counts (…, k, k)."""
    _, _, f1 = _per_class(counts)
    present = counts.sum(axis=-1) + counts.sum(axis=-2) > 0
    mean: NDArray[np.float64] = (f1 * present).sum(axis=-1) / np.maximum(present.sum(axis=-1), 1)
    return mean


def _per_class(counts: Counts) -> tuple[Counts, Counts, Counts]:
    """Precision, recall and F1 of each label, (…, k) each; 0 where there is nothing to divide by."""
    right = np.diagonal(counts, axis1=-2, axis2=-1)
    true, given = counts.sum(axis=-1), counts.sum(axis=-2)
    return (
        right / np.maximum(given, 1),
        right / np.maximum(true, 1),
        2 * right / np.maximum(true + given, 1),
    )


def _accuracy(counts: Counts) -> NDArray[np.float64]:
    share: NDArray[np.float64] = np.trace(counts, axis1=-2, axis2=-1) / counts.sum(axis=(-2, -1))
    return share


def _resampled(counts: NDArray[np.float64], resamples: int, seed: int) -> NDArray[np.float64]:
    """As many counts drawn anew, with replacement, `resamples` times; (resamples, cells)."""
    drawn = np.zeros((resamples, len(counts)))
    occupied = np.flatnonzero(counts)  # few of k³ cells are
    total = int(counts.sum())
    shares = counts[occupied] / counts.sum()
    drawn[:, occupied] = np.random.default_rng(seed).multinomial(total, shares, size=resamples)
    return drawn


def _interval(value: float, draws: NDArray[np.float64], confidence: float) -> Interval:
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(value, float(low), float(high))
