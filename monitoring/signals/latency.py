"""Service latency: is the slowest tenth of the answers slower than it was at the same time of day?

Latencies that follow one another are alike (a queue that is full stays full for a while), so answers cannot be
exchanged one by one: a single slow minute would look like a thousand slow answers. What is exchanged are *slices*, of a
day its hours: chance takes each slice of its window from a random one of the windows, this one or one of those before
(a permutation test within strata, whose blocks are the slices). So a rhythm of the day stands on both sides, and a
single slow slice is in the window by luck as often as in any other one, which proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from monitoring.latencies import Latencies
from monitoring.signals.chance import Floats, Score, score_against

TAIL = 0.9
"""The quantile that is compared. A median would stay where it was while one replica of three is slow."""
_CELLS_AT_ONCE = 500_000
_SHORTEST = 1e-6
"""Seconds; the clock's own resolution, against a division by zero."""


def tail_of(seconds: Floats) -> float:
    """How long nine of ten answers took at most; seconds."""
    return float(np.quantile(seconds, TAIL, method="inverted_cdf"))


def latency_floor(found: Latencies, ratio: float, rise: float) -> float:
    """The ratio below which nothing is a breach: `ratio`, or what is a rise by `rise` seconds where that is more."""
    return max(ratio, 1 + rise / max(tail_of(found.before), _SHORTEST)) if len(found.before) else ratio


def latency_score(found: Latencies, permutations: int, rng: np.random.Generator) -> Score:
    """The slowest tenth's beginning in the window as a multiple of that in the windows before, with its null.

    One-sided: only a window that is slower has a small p-value.

    Args:
        found: at least one answer of the window and one of those before.
        permutations: how many windows are put together by chance.
        rng: what they are put together with.
    """
    order = np.argsort(found.seconds, kind="stable")
    values, back, place = found.seconds[order], found.back[order], found.slice[order]
    own = _ratios((back == 0)[None], values)
    null = [_ratios(drawn, values) for drawn in _windows_by_chance(back, place, permutations, rng)]
    return score_against(float(own[0]), np.concatenate(null))


def _windows_by_chance(
    back: NDArray[np.int64], place: NDArray[np.int64], permutations: int, rng: np.random.Generator
) -> Iterator[NDArray[np.bool_]]:
    """Blocks of (rows, answers): which answers belong to the drawn window.

    A slice is drawn among the windows that have answers in it, and only where the real window has: so a drawn window
    has as many slices as the real one, and never none.
    """
    filled = np.zeros((place.max() + 1, back.max() + 1), dtype=bool)
    filled[place, back] = True
    choices = np.argsort(~filled, axis=1, kind="stable")  # of each slice, the windows that have it, first
    counts = filled.sum(axis=1)
    at_once = max(1, _CELLS_AT_ONCE // len(back))
    for start in range(0, permutations, at_once):
        luck = rng.random((min(at_once, permutations - start), len(filled)))
        drawn = choices[np.arange(len(filled)), (luck * counts).astype(np.int64)]
        drawn[:, ~filled[:, 0]] = -1
        yield drawn[:, place] == back


def _ratios(in_window: NDArray[np.bool_], values: Floats) -> Floats:
    """For each row of memberships, (rows, answers), the window's quantile over the others'; (rows,).

    Args:
        in_window: which of the sorted values belong to the window; on either side at least one.
        values: sorted.
    """
    below = np.cumsum(in_window, axis=1, dtype=np.int32)
    others = np.arange(1, len(values) + 1, dtype=np.int32) - below
    window, rest = (
        values[(counts >= np.ceil(TAIL * counts[:, -1:] - 1e-9)).argmax(axis=1)] for counts in (below, others)
    )
    ratios: Floats = np.maximum(window, _SHORTEST) / np.maximum(rest, _SHORTEST)
    return ratios
