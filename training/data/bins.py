"""Numeric labels, such as scores or stars, as named classes: the option `data.label_bins`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

Bins = Mapping[str, float | None]


def check_bins(bins: Bins) -> None:
    """Raise ValueError unless `bins` name at least two classes, each ending above the one before it."""
    bounds = [math.inf if bound is None else bound for bound in bins.values()]
    if len(bounds) == 1:
        raise ValueError(f"one class is not enough: {dict(bins)}")
    if any(math.isnan(bound) for bound in bounds) or any(a >= b for a, b in itertools.pairwise(bounds)):
        raise ValueError(
            f"each class must end above the one before it, and only the last may be open: {dict(bins)}"
        )


def binned(label: str, bins: Bins) -> str | None:
    """The first class whose upper bound, which belongs to it, `label` does not exceed.

    None where `label` is no number or lies beyond the last bound.

    >>> binned("-0.5", {"negative": -0.5, "neutral": 0.5, "positive": None})
    'negative'
    """
    try:
        value = float(label)
    except ValueError:
        return None
    if math.isnan(value):
        return None
    return next((name for name, bound in bins.items() if bound is None or value <= bound), None)
