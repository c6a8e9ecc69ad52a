"""Cutting texts into batches: like lengths together, each batch bounded by the tokens it computes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

DEFAULT_BATCH_TOKENS = 512
"""Padded tokens a batch. More is slower on a CPU once a batch no longer fits its cache; docs/serving.md has figures."""


def cut_batches(costs: Sequence[int], budget: int = DEFAULT_BATCH_TOKENS) -> Iterator[list[int]]:
    """Indices of `costs`, shortest first, in batches whose *padded* size stays within `budget`.

    The padded size of a batch is its longest cost times its length. A text longer than the budget is a batch
    by itself.

    >>> list(cut_batches([5, 100, 6, 90], budget=200))
    [[0, 2], [3, 1]]
    """
    batch: list[int] = []
    for index in sorted(range(len(costs)), key=costs.__getitem__):
        # Sorted, so the newcomer is the longest.
        if batch and costs[index] * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
