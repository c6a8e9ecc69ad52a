"""Since when: the change point of a signal over the windows before.

Windows that overlap repeat one another's texts, so only windows that do not are compared. Among them the split with the
largest rise of the mean, in units of its spread, is looked for, and held against the same figure of shuffled windows (a
permutation test of the CUSUM statistic; Antoch and Hušková 2001, "Permutation tests in change point analysis"). A
change counts as a share of its threshold, and none as more than 1: a jump to ten times the threshold must not hide that
it began with twice of it, and noise far below must not pass for a beginning, as it would among ranks. Where that proves
nothing, as with few windows, the unbroken run of breaches is told instead.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monitoring.signals.comparison import share_of_threshold
from monitoring.times import iso
from monitoring.verdict import Drift, Since
from stores.predictions.checks import Check

_SHUFFLES = 1999
_LEVEL = 0.05
_MIN_WINDOWS = 6
"""With fewer no order is rare enough."""


def with_since(
    drift: Drift, since: float, before: Sequence[Check], version: str, rng: np.random.Generator
) -> Drift:
    """`drift` with `since` of every breached signal.

    Args:
        drift: of the window that begins at `since`.
        since: seconds since the epoch.
        before: earlier checks of the model, the oldest first.
        version: the one that was watched; another has another reference, so its windows say nothing here.
        rng: for the shuffles.
    """
    apart = apart_from(since, [check for check in before if check.model_version == version])
    signals = []
    for signal in drift.signals:
        if signal.status == "breach" and signal.value is not None and signal.threshold:
            size = share_of_threshold(signal.value, signal.threshold, signal.name)
            began = _began(signal.name, size, since, apart, rng)
            signal = signal.model_copy(update={"since": began})
        signals.append(signal)
    return drift.model_copy(update={"signals": signals})


def apart_from(since: float, before: Sequence[Check]) -> list[Check]:
    """Of `before`, the windows that overlap neither one another nor what begins at `since`; the oldest first."""
    kept: list[Check] = []
    for check in sorted(before, key=lambda check: check.until, reverse=True):
        if check.until <= (kept[-1].since if kept else since):
            kept.append(check)
    return kept[::-1]


def change_point(sizes: Sequence[float], rng: np.random.Generator) -> int | None:
    """Index of the first window of the later, larger part, or None where no rise is proven at 5 %.

    Args:
        sizes: of the change in each window, as a multiple of its threshold, the oldest window first.
        rng: for the shuffles.
    """
    if len(sizes) < _MIN_WINDOWS:
        return None
    capped = np.minimum(sizes, 1.0)
    found = _rise(capped[None])[0]
    shuffled = rng.permuted(np.tile(capped, (_SHUFFLES, 1)), axis=1)
    at_least = int((_rise(shuffled).max(axis=1) >= found.max() - 1e-9).sum())
    if (1 + at_least) / (1 + _SHUFFLES) > _LEVEL:
        return None
    return int(found.argmax()) + 1


def _rise(sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean after each split less mean before it, in units of its spread under no change; (rows, windows − 1)."""
    count = sizes.shape[1]
    first = np.arange(1, count)
    sums = np.cumsum(sizes, axis=1)
    before, after = sums[:, :-1], sums[:, -1:] - sums[:, :-1]
    rise: NDArray[np.float64] = (after / (count - first) - before / first) * np.sqrt(first * (count - first))
    return rise


def _began(name: str, size: float, since: float, before: Sequence[Check], rng: np.random.Generator) -> Since:
    judged = [
        (check.since, share_of_threshold(found["value"], found["threshold"], name), found["status"])
        for check in before
        if (found := check.signals.get(name)) and found["value"] is not None and found["threshold"]
        and found["status"] in ("ok", "breach")
    ]  # fmt: skip
    first = change_point([*(item[1] for item in judged), size], rng)
    starts = [*(item[0] for item in judged), since]
    if first is not None:
        return Since(moment=iso(starts[first]), by="change_point", windows=len(starts))
    run = len(judged)
    while run and judged[run - 1][2] == "breach":
        run -= 1
    return Since(moment=iso(starts[run]), by="first_breach", windows=len(starts))
