"""Bootstrap confidence intervals."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.runtime import Probabilities
from training.evaluation.calibration import BINS, calibration_error

_NUMBERS_AT_ONCE = 2_000_000  # bounds the memory, about 50 MB


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its bootstrap interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


def percentile_interval(value: float, draws: NDArray[np.float64], confidence: float) -> Interval:
    """`value` with the middle `confidence` of its resampled values."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(value, float(low), float(high))


def mean_interval(
    values: NDArray[np.float64], *, seed: int, confidence: float = 0.95, resamples: int = 2000
) -> Interval:
    """The mean of one value a text, (n,)."""
    draws = np.concatenate([values[rows].mean(axis=1) for rows in _drawn_rows(len(values), resamples, seed)])
    return percentile_interval(float(values.mean()), draws, confidence)


def calibration_interval(
    probabilities: Probabilities,
    truth: NDArray[np.int64],
    *,
    seed: int,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """The expected calibration error of `probabilities` (n, k) against n true positions.

    The error adds up distances, so it is too high on few texts, and in a resample higher still. The resampled values
    are moved back by what they lie too high on average, or the interval would lie above the figure itself.
    """
    value = calibration_error(probabilities, truth)
    confidences = probabilities.max(axis=1).astype(np.float64)
    gaps = (probabilities.argmax(axis=1) == truth) - confidences
    bins = np.minimum((confidences * BINS).astype(int), BINS - 1)
    draws = []
    for rows in _drawn_rows(len(gaps), resamples, seed):
        cells = bins[rows] + BINS * np.arange(len(rows))[:, None]
        summed = np.bincount(cells.ravel(), gaps[rows].ravel(), minlength=BINS * len(rows))
        draws.append(np.abs(summed.reshape(len(rows), BINS)).sum(axis=1) / len(gaps))
    drawn = np.concatenate(draws)
    return percentile_interval(value, np.clip(drawn - (drawn.mean() - value), 0, 1), confidence)


def share_interval(hits: int, tries: int, confidence: float = 0.95) -> Interval:
    """A share with its Wilson score interval (Wilson 1927), which holds for few tries and for shares of 0 and 1.

    Raises:
        ValueError: nothing was tried.
    """
    from scipy.stats import norm

    if tries < 1:
        raise ValueError("there is no share of nothing")
    z = float(norm.ppf(0.5 + confidence / 2))
    share = hits / tries
    centre = (share + z * z / (2 * tries)) / (1 + z * z / tries)
    half = z / (1 + z * z / tries) * float(np.sqrt(share * (1 - share) / tries + z * z / (4 * tries * tries)))
    return Interval(share, max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share)))


def _drawn_rows(texts: int, resamples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Row numbers drawn with replacement, (some resamples, texts) at a time."""
    rng = np.random.default_rng(seed)
    at_once = max(1, _NUMBERS_AT_ONCE // max(texts, 1))
    for start in range(0, resamples, at_once):
        yield rng.integers(texts, size=(min(at_once, resamples - start), texts))
