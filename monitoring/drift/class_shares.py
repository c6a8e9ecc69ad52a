"""Score of a mix of classes in percentage points: the class whose share changed most, or the mix as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitoring.drift.permutation import Floats, Score, permutation_score

WHOLE_MIX = ""
"""In the place of a class: half the sum of all changes, the share of answers that moved between classes."""
_FALL = 0.85
"""Weight of a fall beside a rise: the share of a class that rises varies most, so it gets the lower critical value, and
falls are found as surely with a higher one."""
_MIX = 0.7
"""Weight of the whole mix beside one class: it is for many small changes, which are large together."""
_CERTAIN = 0.001
"""Level at which a class is named although the whole mix is more certain still."""


@dataclass(frozen=True, slots=True)
class ShareChange:
    """The change that decides, of one class or of the whole mix."""

    category: str
    """The class; `WHOLE_MIX`: all of them."""
    floor: float
    """Its floor, a share of all answers."""
    score: Score
    """Value and critical values are shares of all answers: 0.05 is five percentage points."""


def share_change(
    reference: Sequence[str],
    window: Sequence[str],
    *,
    floors: Mapping[str, float],
    default_floor: float,
    mix_floor: float,
    permutations: int,
    rng: np.random.Generator,
) -> ShareChange:
    """The most certain change of a class's share among those above their floors, with its null.

    Every change is divided by its standard error, and the p-value is the chance that the largest of these, over all
    classes and the whole mix, is as large (Westfall and Young 1993, single-step max-T). The null is the multivariate
    hypergeometric distribution: windows drawn from the pooled answers.

    Args:
        reference: one class an answer.
        window: one class an answer.
        floors: class → smallest change that counts, a share of all answers.
        default_floor: of classes that `floors` does not name.
        mix_floor: of the whole mix.
        permutations: how many windows are drawn by chance.
        rng: what they are drawn with.
    """
    names = sorted({*reference, *window})
    place = {name: position for position, name in enumerate(names)}
    before, now = (
        np.bincount([place[name] for name in side], minlength=len(names)) for side in (reference, window)
    )
    total = before + now
    drawn = rng.multivariate_hypergeometric(total, len(window), size=permutations)
    changes, chance = _changes(before, now[None, :]), _changes(total - drawn, drawn)
    share = total / total.sum()
    spread = np.sqrt(share * (1 - share) * (1 / len(reference) + 1 / len(window)))
    moved = np.abs(chance).sum(axis=1) / 2
    mean, deviation = float(moved.mean()), float(moved.std())
    own = _standardised(changes, spread, mean, deviation)[0]
    null = _standardised(chance, spread, mean, deviation).max(axis=1)

    sizes = np.append(np.abs(changes[0]), np.abs(changes[0]).sum() / 2)
    limits = np.array([*(floors.get(name, default_floor) for name in names), mix_floor])
    counted = sizes >= limits
    certain = counted & (own >= permutation_score(0.0, null).critical(_CERTAIN))
    if certain[:-1].any():  # one class says more than the whole mix
        certain[-1] = False
    allowed = next((group for group in (certain, counted) if group.any()), own > -np.inf)
    best = int(np.where(allowed, own, -np.inf).argmax())
    found = permutation_score(float(own[best]), null)

    def critical(level: float) -> float:
        limit = found.critical(level)
        if best == len(names):
            return mean + limit / _MIX * deviation
        return float(limit / (1 if changes[0, best] > 0 else _FALL) * spread[best])

    return ShareChange(
        category=names[best] if best < len(names) else WHOLE_MIX,
        floor=float(limits[best]),
        score=Score(float(sizes[best]), found.p_value, critical),
    )


def _changes(before: NDArray[np.int64], now: NDArray[np.int64]) -> Floats:
    """Change of every class's share between rows of counts; (rows, classes)."""
    changes: Floats = now / now.sum(axis=1, keepdims=True) - before / before.sum(axis=-1, keepdims=True)
    return changes


def _standardised(changes: Floats, spread: Floats, mean: float, deviation: float) -> Floats:
    """Changes in standard errors, the whole mix last; (rows, classes + 1)."""
    scaled = changes / np.where(spread > 0, spread, np.inf)
    mix = (np.abs(changes).sum(axis=1) / 2 - mean) / deviation if deviation else np.zeros(len(changes))
    return np.column_stack([np.maximum(scaled, -_FALL * scaled), _MIX * mix])
