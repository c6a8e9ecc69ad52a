"""Whether long texts are harder, and texts that are read only in part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier import Predictions
from training.data import Part
from training.evaluation import positions_of
from training.resampling import Interval, share_interval

_GROUPS = 5


@dataclass(frozen=True)
class Group:
    """Texts of a kind, and how many of them get their label."""

    name: str
    texts: int
    accuracy: Interval


def by_length(part: Part, predictions: Predictions, labels: Sequence[str], confidence: float) -> list[Group]:
    """Accuracy in five groups of equal size by number of words, the shortest first; fewer where lengths repeat."""
    words = np.asarray([len(text.split()) for text in part.texts])
    right = _right(part, predictions, labels)
    edges = np.unique(np.floor(np.quantile(words, np.linspace(0, 1, _GROUPS + 1)[1:-1])))
    place = np.searchsorted(edges, words, side="left")  # up to the edge, and including it
    found = []
    for number in range(len(edges) + 1):
        inside = place == number
        if inside.any():
            low, high = int(words[inside].min()), int(words[inside].max())
            name = f"{low} words" if low == high else f"{low} to {high} words"
            found.append(_group(name, right[inside], confidence))
    return found


def by_truncation(
    part: Part, predictions: Predictions, labels: Sequence[str], confidence: float
) -> list[Group]:
    """Accuracy on texts that were read whole and on those that were cut, where there are any."""
    cut = np.asarray(predictions.truncated)
    right = _right(part, predictions, labels)
    kinds = (("read whole", ~cut), ("read in part", cut))
    return [_group(name, right[inside], confidence) for name, inside in kinds if inside.any()]


def _right(part: Part, predictions: Predictions, labels: Sequence[str]) -> NDArray[np.bool_]:
    right: NDArray[np.bool_] = predictions.probabilities.argmax(axis=1) == positions_of(part.labels, labels)
    return right


def _group(name: str, right: NDArray[np.bool_], confidence: float) -> Group:
    return Group(name, len(right), share_interval(int(right.sum()), len(right), confidence))
