"""Stratified sampling: quotas per class, and a random subsample of given size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

_SUBSAMPLE_STREAM = 1
"""Which stream of the seed's random numbers; the split takes another."""


def quotas(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """`total` shared out by `shares`, exactly (largest remainders; the earlier name wins a tie).

    >>> quotas(10, {"train": 0.66, "test": 0.34})
    {'train': 7, 'test': 3}
    """
    whole = sum(shares.values())
    exact = {name: total * share / whole for name, share in shares.items()}
    # Rounded first, so that 2.9999999 counts as the 3 that it means.
    counts = {name: math.floor(round(value, 9)) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: round(counts[name] - exact[name], 9))
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def subsample(labels: Sequence[str], limit: int, seed: int) -> list[int]:
    """Indices of `limit` rows in order, each class in proportion, chosen by `seed`."""
    rng = np.random.default_rng([seed, _SUBSAMPLE_STREAM])
    by_label = indices_by_label(labels)
    wanted = quotas(limit, {label: len(found) / len(labels) for label, found in by_label.items()})
    chosen: list[int] = []
    for label, found in by_label.items():
        chosen += rng.permutation(found)[: wanted[label]].tolist()
    return sorted(chosen)


def indices_by_label(labels: Sequence[str]) -> dict[str, list[int]]:
    """Label → its rows, labels sorted, so that nothing depends on which came first."""
    found: dict[str, list[int]] = {label: [] for label in sorted(set(labels))}
    for index, label in enumerate(labels):
        found[label].append(index)
    return found
