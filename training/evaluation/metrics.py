"""Classification metrics with bootstrap confidence intervals, and paired differences of two models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.runtime import Probabilities
from stores.names import metric_parts
from training.data import Part
from training.data.labels import positions_of
from training.evaluation.calibration import Bin, reliability
from training.evaluation.intervals import Interval, calibration_interval, mean_interval, percentile_interval

Counts = NDArray[np.float64]
"""(…, k, k): how often label j was given where label i was true."""

Figures = tuple[NDArray[np.float64], NDArray[np.float64]]
"""F1 of each label, (…, k), and its mean over the labels, (…)."""


@dataclass(frozen=True, slots=True)
class ClassScores:
    """One label's figures; 0 where there is nothing to count."""

    precision: Interval
    recall: Interval
    f1: Interval
    texts: int
    """Texts of which the label is true."""


@dataclass(frozen=True)
class Scores:
    """What a classifier reached on one part of the data."""

    texts: int
    accuracy: Interval
    macro_f1: Interval
    macro_precision: Interval
    macro_recall: Interval
    calibration_error: Interval
    """Expected calibration error: by how much confidence and accuracy differ, on average."""
    log_loss: Interval
    """Mean negative log-probability of the true label, in nats."""
    classes: dict[str, ClassScores]
    confusion: list[list[int]]
    """Row: true label, column: given label, both in the order of `classes`."""
    bins: list[Bin]
    """Confidence against accuracy, which the calibration error sums up."""

    @property
    def headlines(self) -> dict[str, Interval]:
        """The figures over all classes, by name."""
        names = ("accuracy", "macro_f1", "macro_precision", "macro_recall", "calibration_error", "log_loss")
        return {name: getattr(self, name) for name in names}

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON can write it."""
        return asdict(self)

    def metrics(self, part: str) -> dict[str, float]:
        """The figures by the names MLflow keeps them under: `test_macro_f1`, `test_macro_f1_low`, `test_f1_<label>`, …

        Labels are encoded where MLflow cannot keep them as they are (`stores.names.metric_parts`).
        """
        figures = {"texts": float(self.texts)}
        parts = metric_parts(self.classes)
        of_classes = {f"f1_{parts[label]}": scores.f1 for label, scores in self.classes.items()}
        for name, interval in (self.headlines | of_classes).items():
            figures |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
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
    # (figure, label) once, and (resample, figure, label)
    found, drawn = np.stack(_per_class(counts)), np.stack(_per_class(draws), axis=1)
    own = probabilities[np.arange(len(positions)), positions].astype(np.float64)
    losses = -np.log(np.clip(own, 1e-12, 1.0))

    def interval(value: NDArray[np.float64], values: NDArray[np.float64]) -> Interval:
        return percentile_interval(float(value), values, confidence)

    def macro(figure: int) -> Interval:
        return interval(_mean_of_present(found[figure], counts), _mean_of_present(drawn[:, figure], draws))

    sure: dict[str, Any] = {"seed": seed, "confidence": confidence, "resamples": resamples}
    return Scores(
        texts=len(positions),
        accuracy=interval(_accuracy(counts), _accuracy(draws)),
        macro_precision=macro(0),
        macro_recall=macro(1),
        macro_f1=macro(2),
        calibration_error=calibration_interval(probabilities, positions, **sure),
        log_loss=mean_interval(losses, **sure),
        classes={
            label: ClassScores(
                interval(found[0, i], drawn[:, 0, i]),
                interval(found[1, i], drawn[:, 1, i]),
                interval(found[2, i], drawn[:, 2, i]),
                int(counts[i].sum()),
            )
            for i, label in enumerate(labels)
        },
        confusion=counts.astype(int).tolist(),
        bins=reliability(probabilities, positions),
    )


def scores_on_live(
    probabilities: Probabilities,
    test: Part,
    labels: Sequence[str],
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Scores | None:
    """`evaluate`, on the live texts of `test` alone; None where it has none."""
    rows = test.live
    if not rows:
        return None
    truth = [test.labels[row] for row in rows]
    return evaluate(probabilities[rows], truth, labels, seed=seed, confidence=confidence, resamples=resamples)


@dataclass(frozen=True)
class Differences:
    """What a challenger gains over a champion on the same texts, as found and as resampled."""

    macro_f1: float
    macro_f1_draws: NDArray[np.float64]
    """(resamples,)"""
    f1: NDArray[np.float64]
    """(labels,): F1 of each label, the challenger's minus the champion's."""
    f1_draws: NDArray[np.float64]
    """(resamples, labels); NaN where a resample drew no text of the label."""


def paired_differences(
    challenger: Probabilities,
    champion: Probabilities,
    truth: Sequence[str],
    labels: Sequence[str],
    *,
    seed: int,
    resamples: int = 2000,
) -> Differences:
    """Differences of `challenger` to `champion`, both (n, labels) on the same n texts.

    Paired: each resample draws texts, and both are evaluated on what was drawn. That they find the same texts hard does
    not blur the difference then, as it would with two separate intervals.
    """
    triples, counts = np.unique(
        np.stack([positions_of(truth, labels), challenger.argmax(axis=1), champion.argmax(axis=1)]),
        axis=1,
        return_counts=True,
    )
    is_true, mine, theirs = (np.eye(len(labels))[row] for row in triples)  # each (triples, labels)

    def f1_of(weights: NDArray[np.float64], given: NDArray[np.float64]) -> Figures:
        """F1 of each label and its mean, for (…, triples) numbers of texts."""
        right, true, said = weights @ (is_true * given), weights @ is_true, weights @ given
        f1 = 2 * right / np.maximum(true + said, 1)
        present = true + said > 0
        return f1, (f1 * present).sum(axis=-1) / np.maximum(present.sum(axis=-1), 1)

    found = counts.astype(np.float64)
    drawn = _resampled(found, resamples, seed)
    (my_f1, my_mean), (their_f1, their_mean) = f1_of(found, mine), f1_of(found, theirs)
    (my_draws, my_means), (their_draws, their_means) = f1_of(drawn, mine), f1_of(drawn, theirs)
    return Differences(
        float(my_mean - their_mean),
        my_means - their_means,
        my_f1 - their_f1,
        np.where(drawn @ is_true > 0, my_draws - their_draws, np.nan),
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
    """Macro-F1 of `challenger` minus that of `champion`, with its paired interval; see `paired_differences`."""
    found = paired_differences(challenger, champion, truth, labels, seed=seed, resamples=resamples)
    return percentile_interval(found.macro_f1, found.macro_f1_draws, confidence)


def confusion_counts(truth: NDArray[np.int64], given: NDArray[np.int64], k: int) -> Counts:
    """(k, k) counts; row: true label, column: given label."""
    return np.bincount(truth * k + given, minlength=k * k).reshape(k, k).astype(np.float64)


def macro_f1(counts: Counts) -> NDArray[np.float64]:
    """Mean F1 over the labels that are true of some text or given to some; (…) for counts (…, k, k)."""
    return _mean_of_present(_per_class(counts)[2], counts)


def _mean_of_present(figures: Counts, counts: Counts) -> NDArray[np.float64]:
    present = counts.sum(axis=-1) + counts.sum(axis=-2) > 0
    mean: NDArray[np.float64] = (figures * present).sum(axis=-1) / np.maximum(present.sum(axis=-1), 1)
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
    """Bootstrap resamples of the counts, with replacement; (resamples, cells)."""
    drawn = np.zeros((resamples, len(counts)))
    occupied = np.flatnonzero(counts)  # few of k³ cells are
    total = int(counts.sum())
    shares = counts[occupied] / counts.sum()
    drawn[:, occupied] = np.random.default_rng(seed).multinomial(total, shares, size=resamples)
    return drawn
