"""Intervals of accuracy and F1 that hold for few labels, too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from monitoring.verdict import Estimate

Counts = NDArray[np.int64] | NDArray[np.float64]
"""A confusion table, rows true, columns predicted; weighed ones are no whole numbers."""
_DRAWS = 20_000


def wilson(right: float, total: float, alpha: float) -> Estimate:
    """A share with its Wilson interval (1927) of level 1 − `alpha`, which holds at 0 and at 1 and for few rows."""
    z = float(norm.isf(alpha / 2))
    share = right / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * np.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return Estimate(value=share, low=max(0.0, float(middle - half)), high=min(1.0, float(middle + half)))


def difference(first: Estimate, second: Estimate) -> Estimate:
    """`first` − `second` of independent shares, by Newcombe's interval (1998) from their Wilson intervals."""
    value = first.value - second.value
    down = np.hypot(first.value - first.low, second.high - second.value)
    up = np.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value=value, low=float(value - down), high=float(value + up))


def f1_posterior(table: Counts, rng: np.random.Generator) -> NDArray[np.float64]:
    """What F1 of each class may be, given one confusion table; (_DRAWS, k).

    F1 depends on hits and errors alone, so it has a Beta posterior behind it (Goutte and Gaussier 2005). A bootstrap
    would be certain of a class that happened to be all right: no error can be resampled from none.
    """
    hits = np.diagonal(table).astype(np.float64)
    errors = table.sum(axis=0) + table.sum(axis=1) - 2 * hits
    share = rng.beta(hits + 0.5, errors + 0.5, size=(_DRAWS, len(table)))
    posterior: NDArray[np.float64] = 2 * share / (1 + share)
    return posterior


def around(value: float, draws: NDArray[np.float64], alpha: float) -> Estimate:
    """A figure with the interval of level 1 − `alpha` that draws of it give; the figure itself lies within."""
    low, high = np.quantile(draws, [alpha / 2, 1 - alpha / 2])
    return Estimate(value=value, low=min(value, float(low)), high=max(value, float(high)))


def around_all(value: float, draws: Sequence[NDArray[np.float64]], alpha: float) -> Estimate:
    """The widest of the intervals from several kinds of draws."""
    found = [around(value, drawn, alpha) for drawn in draws]
    return Estimate(value=value, low=min(e.low for e in found), high=max(e.high for e in found))


def f1_of(tables: Counts) -> NDArray[np.float64]:
    """F1 of each class of (n, k, k) confusion tables; (n, k), NaN where a class is neither true nor predicted."""
    hits = np.diagonal(tables, axis1=1, axis2=2).astype(np.float64)
    involved = tables.sum(axis=1) + tables.sum(axis=2)
    scores: NDArray[np.float64] = np.divide(
        2 * hits, involved, out=np.full_like(hits, np.nan), where=involved > 0
    )
    return scores
