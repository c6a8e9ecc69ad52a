"""Permutation tests: null distributions of drift scores, p-values and Holm's correction.

A fixed threshold on a drift score has a different false alarm rate at every sample size. Here each score is compared
with those of windows *of the same size* that are sampled without replacement from the pooled reference and window
(Fisher's permutation test). Under the null hypothesis the p-value is valid at any size, also when the window is larger
than the reference, and for any distribution of the values.

Levels below 1 / permutations are reached by a tail fitted to the largest chance scores (Knijnenburg and others 2009,
"Fewer permutations, more accurate P-values"), here an exponential one: it lies above any tail that falls faster.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Floats = NDArray[np.float64]
_CELLS_AT_ONCE = 500_000
"""Cells of one block of permutations: four megabytes as doubles, which stay near the processor."""
_SMALLEST_SPREAD = 0.001  # Evidently's own guard against dividing by zero


@dataclass(frozen=True, slots=True)
class Score:
    """A drift score, and what chance gives."""

    value: float
    p_value: float
    """Chance of a score at least as large when nothing changed: never 0."""
    critical: Callable[[float], float]
    """Level → the smallest score whose p-value is at most that level."""


class PermutationSampler:
    """Windows sampled without replacement from the pooled reference and window.

    All signals of the same sizes share their permutations, which are drawn once and stored as bits.

    Args:
        permutations: how many.
        rng: what they are drawn with.
    """

    def __init__(self, permutations: int, rng: np.random.Generator) -> None:
        self.permutations = permutations
        self.rng = rng
        self._packed: dict[tuple[int, int], list[NDArray[np.uint8]]] = {}

    def blocks(self, n_reference: int, n_window: int) -> Iterator[NDArray[np.bool_]]:
        """Blocks of (rows, texts): which texts, reference first, belong to the drawn window."""
        size = n_reference + n_window
        if (n_reference, n_window) not in self._packed:
            self._packed[n_reference, n_window] = list(self._drawn(size, n_window))
        for packed in self._packed[n_reference, n_window]:
            yield np.unpackbits(packed, axis=1, count=size).view(np.bool_)

    def _drawn(self, size: int, n_window: int) -> Iterator[NDArray[np.uint8]]:
        at_once = max(1, _CELLS_AT_ONCE // size)
        for start in range(0, self.permutations, at_once):
            rows = min(at_once, self.permutations - start)
            # The texts with the smallest of random numbers: a quarter of the time of shuffling. Of 64 bits, so that no
            # two are equal.
            keys = self.rng.integers(0, 2**64, size=(rows, size), dtype=np.uint64)
            largest = np.partition(keys, n_window - 1, axis=1)[:, n_window - 1, None]
            yield np.packbits(keys <= largest, axis=1)


def numeric_scores(
    sides: Mapping[str, tuple[Floats, Floats]], sampler: PermutationSampler
) -> dict[str, Score]:
    """Of each signal the Wasserstein distance in standard deviations of the reference (Evidently's `wasserstein`).

    The null distributions of all signals of the same sizes are computed together: the *ranks* that a permuted window
    has do not depend on the values, so the expensive part, counting ranks, is done once for all of them. Each null
    distribution equals that of a separate computation.

    Args:
        sides: name of a signal → values of the reference and of the window, one a text.
        sampler: the windows by chance.
    """
    found: dict[str, Score] = {}
    for sizes in dict.fromkeys((len(old), len(new)) for old, new in sides.values()):
        names = [name for name, (old, new) in sides.items() if (len(old), len(new)) == sizes]
        values = np.stack([np.concatenate(sides[name]).astype(np.float64) for name in names])
        # In doubles and about their mean: a large mean would drown a small spread.
        values -= values.mean(axis=1, keepdims=True)
        order = np.argsort(values, axis=1, kind="stable")
        pooled = np.take_along_axis(values, order, axis=1)
        # Each signal's own window takes other places; of its distances to all signals the own one counts.
        own = _wasserstein(order >= sizes[0], pooled).diagonal()
        null = np.concatenate([_wasserstein(drawn, pooled) for drawn in sampler.blocks(*sizes)])
        for position, name in enumerate(names):
            found[name] = permutation_score(float(own[position]), null[:, position])
    return found


def categorical_score(reference: Sequence[str], window: Sequence[str], sampler: PermutationSampler) -> Score:
    """Jensen-Shannon distance of two label mixes (Evidently's `jensenshannon`), with its null."""
    labels = sorted({*reference, *window})
    index = {label: position for position, label in enumerate(labels)}
    in_reference = np.bincount([index[label] for label in reference], minlength=len(labels))
    in_window = np.bincount([index[label] for label in window], minlength=len(labels))
    total = in_reference + in_window
    value = float(_mix_distance(in_reference, in_window[None, :])[0])
    drawn = sampler.rng.multivariate_hypergeometric(total, len(window), size=sampler.permutations)
    return permutation_score(value, _mix_distance(total - drawn, drawn))


def auc_score(auc: float, n_reference: int, n_window: int) -> Score:
    """The null of a held-out AUC: the scores of a classifier that never saw these texts are exchangeable when there
    is nothing to tell apart, so its Mann-Whitney null holds (Lopez-Paz and Oquab 2017, arXiv:1610.06545).

    Args:
        auc: area under the curve on the held-out half.
        n_reference: held-out texts from the reference.
        n_window: held-out texts from the window.
    """
    spread = float(np.sqrt((n_reference + n_window + 1) / (12 * n_reference * n_window)))
    return Score(
        value=auc,
        p_value=float(ndtr(-(auc - 0.5) / spread)),
        critical=lambda level: 0.5 - spread * float(ndtri(level)),
    )


def holm(
    p_values: Sequence[float], alpha: float, shares: Sequence[float] | None = None
) -> tuple[list[float], list[float]]:
    """Holm's weighted correction (1979): p-values to read against `alpha`, and the levels that decide alike.

    The chance of any false alarm among all signals stays below `alpha`, however they depend on one another.

    Args:
        p_values: of each signal.
        alpha: the chance of any false alarm.
        shares: of alpha, one a signal, in any unit; None: the same for all.

    Returns:
        Adjusted p-values in the order given, and of each the level below which its unadjusted p-value counts.

    >>> holm([0.001, 0.2, 0.02], alpha=0.05)
    ([0.003, 0.2, 0.04], [0.05, 0.05, 0.05])
    """
    weights = [1.0] * len(p_values) if shares is None else list(shares)
    adjusted = [1.0] * len(p_values)
    order = sorted(range(len(p_values)), key=lambda position: p_values[position] / weights[position])
    largest = 0.0
    for rank, position in enumerate(order):
        rest = math.fsum(weights[other] for other in order[rank:])
        largest = max(largest, min(1.0, rest / weights[position] * p_values[position]))
        adjusted[position] = largest
    kept = math.fsum(weight for weight, value in zip(weights, adjusted, strict=True) if value > alpha)
    return adjusted, [alpha * min(1.0, weight / kept) if kept else alpha for weight in weights]


_TAIL = 50
"""One in so many of the chance scores, the largest, make the tail."""
_SMALLEST_TAIL = 25
_SMALLEST_P = 1e-12


def permutation_score(value: float, null: Floats) -> Score:
    """A score, judged by the scores that chance gave; `null` in any order."""
    null = np.sort(null)
    draws = 1 + len(null)
    # Scores that differ in the last digit only are ties: the sums were made in another order.
    larger = len(null) - int(np.searchsorted(null, value - 1e-9, side="left"))
    begin = float(null[-min(len(null), max(_SMALLEST_TAIL, len(null) // _TAIL))])
    tail = null[np.searchsorted(null, begin - 1e-9, side="left") :]
    anchor = (1 + len(tail)) / draws
    # Longer by its own standard error, so that few draws do not make a change look more certain than it is.
    scale = float(tail.mean() - begin) * (1 + 1 / np.sqrt(len(tail)))

    def p_value() -> float:
        if value <= begin + 1e-9:
            return (1 + larger) / draws
        beyond = anchor * math.exp(-(value - begin) / scale) if scale > 0 else 1 / draws
        return max(beyond, larger / draws, _SMALLEST_P)

    def critical(level: float) -> float:
        allowed = int(np.floor(level * draws))
        if level >= anchor:
            return float(null[-1] + 1e-9 if allowed == 1 else null[len(null) - allowed] + 1e-9)
        drawn = float(null[len(null) - allowed - 1]) + 1e-9
        fitted = begin + scale * math.log(anchor / level) if scale > 0 else begin + 1e-9
        return max(drawn, fitted)

    return Score(value, p_value(), critical)


def _wasserstein(in_window: NDArray[np.bool_], pooled: Floats) -> Floats:
    """Distance for each row of memberships and each signal; (rows, signals).

    Args:
        in_window: (rows, texts), which places of the sorted pools belong to the window; equally many in each row.
        pooled: (signals, texts), each sorted, with mean 0.
    """
    size = in_window.shape[1]
    n_window = int(in_window[0].sum())
    n_reference = size - n_window
    gaps, squares = np.diff(pooled).T, np.diff(pooled**2).T
    # Counted in whole numbers, which takes half the time of doubles.
    below = np.cumsum(in_window, axis=1, dtype=np.int32)[:, :-1].astype(np.float64)
    # Sums over the window, by parts: the counts are there already.
    sums = n_window * pooled[:, -1] - below @ gaps
    first = -sums / n_reference
    second = ((pooled**2).sum(axis=1) - n_window * pooled[:, -1] ** 2 + below @ squares) / n_reference
    spread = np.sqrt(np.maximum(second - first**2, 0.0))
    below *= 1 / n_window + 1 / n_reference
    below -= np.arange(1, size) / n_reference
    np.abs(below, out=below)
    result: Floats = (below @ gaps) / np.maximum(spread, _SMALLEST_SPREAD)
    return result


def _mix_distance(reference: NDArray[np.int64], window: NDArray[np.int64]) -> Floats:
    """Distance between rows of counts; (rows,)."""
    from scipy.spatial.distance import jensenshannon

    shares = np.broadcast_to(reference, window.shape)
    distance = jensenshannon(
        shares / shares.sum(axis=1, keepdims=True), window / window.sum(axis=1, keepdims=True), axis=1
    )
    # Equal mixes come out as NaN when rounding makes the divergence a hair negative.
    result: Floats = np.nan_to_num(np.asarray(distance, dtype=np.float64))
    return result


@contextmanager
def preserve_rng_state() -> Iterator[None]:
    """Give numpy's global generator back as it was."""
    state = np.random.get_state()
    try:
        yield
    finally:
        np.random.set_state(state)
