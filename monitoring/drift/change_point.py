"""When a signal began to differ: change points over earlier windows, and inside the first window in breach.

Over windows: overlapping windows share texts, so only non-overlapping ones are compared. The split with the largest
rise of the mean, in units of its standard error, is tested against shuffled orders (a permutation test of the CUSUM
statistic; Antoch and Hušková 2001, "Permutation tests in change point analysis"). A change counts as a share of its
threshold, capped at 1, so that a late jump does not hide an earlier beginning. Without a significant split the
beginning of the unbroken run of breaches is reported.

Inside a window: predictions are ordered by time, and the mean features of both parts of every cut are compared by
k (n - k) / n · ||difference||², tested in the same way. Features come from the signal: ranks and their squares,
indicators of categories, log-probabilities, or directions of TF-IDF. Later checks of the same run of breaches keep the
moment.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from monitoring.drift.permutation import Floats
from monitoring.drift.signal import MAX_FEATURES, Comparison, relative_change
from monitoring.times import iso
from monitoring.verdict import Drift, Since
from stores.predictions.checks import Check

_SHUFFLES = 1999
_LEVEL = 0.05
_MIN_WINDOWS = 6
"""With fewer no order is rare enough."""


def date_changes(
    drift: Drift,
    since: float,
    earlier: Sequence[Check],
    version: str,
    rng: np.random.Generator,
    *,
    comparisons: Sequence[Comparison] = (),
    first_prediction: float | None = None,
) -> Drift:
    """`drift` with `since` of every breached signal.

    Args:
        drift: of the window that begins at `since`.
        since: seconds since the epoch.
        earlier: earlier checks of the model, the oldest first; their windows may overlap this one.
        version: the one that was watched; another has another reference, so its windows say nothing here.
        rng: for the shuffles.
        comparisons: the values of the signals, in which a change inside the window is looked for.
        first_prediction: when the version answered first; seconds since the epoch.
    """
    own = [check for check in earlier if check.model_version == version]
    apart = non_overlapping(since, own)
    values = {item.name: item for item in comparisons}
    signals = []
    for signal in drift.signals:
        if signal.status == "breach" and signal.value is not None and signal.threshold:
            size = relative_change(signal.value, signal.threshold, signal.name)
            began = _dated_before(signal.name, own, windows=len(apart) + 1)
            if began is None:
                began = _began(signal.name, size, since, apart, rng, values.get(signal.name))
            if first_prediction is not None and began.moment < iso(first_prediction):
                began = Since(moment=iso(first_prediction), by="first_prediction", windows=began.windows)
            signal = signal.model_copy(update={"since": began})
        signals.append(signal)
    return drift.model_copy(update={"signals": signals})


def non_overlapping(since: float, before: Sequence[Check]) -> list[Check]:
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


def _began(
    name: str,
    size: float,
    since: float,
    before: Sequence[Check],
    rng: np.random.Generator,
    values: Comparison | None,
) -> Since:
    judged = [
        (check.since, relative_change(found["value"], found["threshold"], name), found["status"])
        for check in before
        if (found := check.signals.get(name)) and found.get("value") is not None and found.get("threshold")
        and found["status"] in ("ok", "breach")
    ]  # fmt: skip
    first = change_point([*(item[1] for item in judged), size], rng)
    starts = [*(item[0] for item in judged), since]
    run = len(judged)
    while run and judged[run - 1][2] == "breach":
        run -= 1
    if run == len(judged) and first in (None, run) and values is not None:
        # The first window in breach: the change may lie inside it.
        inside = change_inside(values, rng)
        if inside is not None:
            return Since(moment=iso(inside), by="within_window", windows=len(starts))
    if first is not None:
        return Since(moment=iso(starts[first]), by="change_point", windows=len(starts))
    return Since(moment=iso(starts[run]), by="first_breach", windows=len(starts))


def _dated_before(name: str, earlier: Sequence[Check], *, windows: int) -> Since | None:
    """The moment inside its window that the first check of this run of breaches found, where it found one.

    Later windows of the run may begin after the change, so they cannot find it again.
    """
    moment = None
    for check in sorted(earlier, key=lambda check: check.until, reverse=True):
        found = check.signals.get(name)
        if not found or found.get("status") not in ("ok", "breach"):
            continue
        if found["status"] != "breach":
            break
        moment = found.get("since", moment)
    return None if moment is None else Since(moment=moment, by="within_window", windows=windows)


_ORDERS = 999
_LEVEL_INSIDE = 0.01
_SHORTEST_PART = 10
"""Predictions that either part must have."""


def change_inside(item: Comparison, rng: np.random.Generator) -> float | None:
    """Time of the first prediction after the change (seconds since the epoch).

    Args:
        item: a signal that was measured, with the times of its window's values.
        rng: for the shuffled orders.

    Returns:
        None where no change is proven at 1 %, where the part after it is more like the reference than the part before
        it, or where the signal has no times.
    """
    if len(item.sides.times) != len(item.window) or len(item.window) < 2 * _SHORTEST_PART:
        return None
    raw = item.signal.features(item)
    features = None if raw is None else _standardised(raw)
    if features is None:
        return None
    times = np.asarray(item.sides.times, dtype=float)
    order = np.argsort(times, kind="stable")
    times, window = times[order], features[len(item.reference) :][order]
    # Predictions of one request have one time, which nothing can cut.
    cuts = np.arange(_SHORTEST_PART, len(times) - _SHORTEST_PART + 1)
    cuts = cuts[times[cuts - 1] < times[np.minimum(cuts, len(times) - 1)]]
    if not len(cuts):
        return None
    sizes = _sizes(window, cuts)
    as_large = 1
    for _ in range(_ORDERS):
        as_large += bool(_sizes(window[rng.permutation(len(window))], cuts).max() >= sizes.max() - 1e-12)
        if as_large / (1 + _ORDERS) > _LEVEL_INSIDE:  # further orders cannot make it certain
            return None
    cut = int(cuts[sizes.argmax()])
    usual = features[: len(item.reference)].mean(axis=0)
    before, after = (np.linalg.norm(part.mean(axis=0) - usual) for part in (window[:cut], window[cut:]))
    return float(times[cut]) if after > before else None


def _sizes(features: Floats, cuts: np.ndarray) -> Floats:
    """The two-sample statistic of every cut; (cuts,)."""
    count = len(features)
    total = np.cumsum(features - features.mean(axis=0), axis=0)[cuts - 1]
    sizes: Floats = (total**2).sum(axis=1) * count / (cuts * (count - cuts))
    return sizes


def _standardised(features: Floats) -> Floats | None:
    """At most MAX_FEATURES directions, those of the largest variance, with mean 0 and variance 1; None: none varies."""
    if features.shape[1] > MAX_FEATURES:
        centred = features - features.mean(axis=0)
        features = centred @ np.linalg.svd(centred, full_matrices=False)[2][:MAX_FEATURES].T
    spread = features.std(axis=0)
    features = (features - features.mean(axis=0))[:, spread > 1e-12] / spread[spread > 1e-12]
    return features if features.shape[1] else None
