"""Calibration: reliability bins, expected calibration error, and temperature scaling."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from classifier.runtime import Probabilities

BINS = 15
_LOWEST, _HIGHEST = 0.05, 20.0


@dataclass(frozen=True, slots=True)
class Bin:
    """The texts whose confidence lies in one stretch of 0 to 1."""

    low: float
    high: float
    texts: int
    confidence: float
    """Mean probability of the given label; 0 in an empty bin."""
    accuracy: float
    """Share of texts whose given label is true; 0 in an empty bin."""


def reliability(probabilities: Probabilities, truth: NDArray[np.int64], bins: int = BINS) -> list[Bin]:
    """Confidence against accuracy, in `bins` stretches of equal width; `probabilities` (n, k), `truth` n positions."""
    confidence = probabilities.max(axis=1).astype(np.float64)
    right = probabilities.argmax(axis=1) == truth
    index = np.minimum((confidence * bins).astype(int), bins - 1)
    found = []
    for position in range(bins):
        inside = index == position
        count = int(inside.sum())
        found.append(
            Bin(
                position / bins,
                (position + 1) / bins,
                count,
                float(confidence[inside].mean()) if count else 0.0,
                float(right[inside].mean()) if count else 0.0,
            )
        )
    return found


def calibration_error(probabilities: Probabilities, truth: NDArray[np.int64]) -> float:
    """Expected calibration error: mean over texts of |accuracy - confidence| of their bin, 0 to 1."""
    bins = reliability(probabilities, truth)
    total = sum(item.texts for item in bins)
    return sum(item.texts * abs(item.accuracy - item.confidence) for item in bins) / total if total else 0.0


def fit_temperature(probabilities: Probabilities, truth: NDArray[np.int64]) -> float:
    """The temperature that makes held-out `truth` most likely, between 0.05 and 20.

    A few texts that are all right would make it as low as it may be, and every answer certain. So a prior is added to
    the likelihood: the logarithm of the temperature is normal around 0 with deviation 1. From some hundred texts on it
    makes no difference.

    Args:
        probabilities: (n, k), as the model gives them at temperature 1.
        truth: n positions of the true labels; not the texts that the model learned from.
    """
    # Logarithms of probabilities are the logits but for a constant a row, which the softmax does not see.
    logits = np.log(np.clip(probabilities.astype(np.float64), 1e-12, 1.0))
    rows = np.arange(len(truth))

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        normaliser = np.logaddexp.reduce(scaled, axis=1)
        return float((normaliser - scaled[rows, truth]).sum() + log_temperature**2 / 2) / len(truth)

    found = minimize_scalar(loss, bounds=(np.log(_LOWEST), np.log(_HIGHEST)), method="bounded")
    return float(np.exp(found.x))
