"""The mistakes of a classifier on labelled texts: the ones it is surest of, and the labels that it confuses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from classifier import Predictions
from training.data import Part
from training.evaluation import Scores, positions_of
from training.resampling import Interval, share_interval


@dataclass(frozen=True)
class Mistake:
    """One text with a wrong label."""

    row: int
    """Position in its part, from 0."""
    text: str
    label: str
    """The true one."""
    given: str
    confidence: float
    """Probability of the label given."""
    label_probability: float
    """Probability of the true label."""
    tokens: int
    truncated: bool


@dataclass(frozen=True)
class Confusion:
    """One label taken for another."""

    label: str
    given: str
    texts: int
    share: Interval
    """Of the texts with this label."""


def confident_mistakes(
    part: Part, predictions: Predictions, labels: Sequence[str], most: int
) -> list[Mistake]:
    """Wrong texts of `part`, at most `most`, the one that the classifier is surest of first."""
    truth = positions_of(part.labels, labels)
    given = predictions.probabilities.argmax(axis=1)
    confidence = predictions.probabilities.max(axis=1)
    wrong = np.flatnonzero(given != truth)
    order = wrong[np.argsort(-confidence[wrong], kind="stable")][:most]
    return [
        Mistake(
            row=int(row),
            text=part.texts[row],
            label=part.labels[row],
            given=labels[given[row]],
            confidence=float(confidence[row]),
            label_probability=float(predictions.probabilities[row, truth[row]]),
            tokens=predictions.tokens[row],
            truncated=predictions.truncated[row],
        )
        for row in order
    ]


def confusions(scores: Scores, confidence: float) -> list[Confusion]:
    """Every pair of labels that is confused at all, the most texts first."""
    labels, counts = list(scores.classes), np.asarray(scores.confusion)
    found = [
        Confusion(
            labels[row],
            labels[column],
            int(counts[row, column]),
            share_interval(int(counts[row, column]), int(counts[row].sum()), confidence),
        )
        for row, column in np.argwhere(counts)
        if row != column
    ]
    return sorted(found, key=lambda item: (-item.texts, -item.share.value, item.label))
