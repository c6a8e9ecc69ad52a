"""What happened to a signal, in words that a person can check."""

from __future__ import annotations

import numpy as np

from monitoring.signals.comparison import Comparison
from monitoring.signals.latency import tail_of


def in_words(item: Comparison) -> str:
    """A clause about a signal that was measured; it begins small and has no full stop."""
    return {
        "texts": _of_texts,
        "numbers": _of_numbers,
        "mix": _of_mix,
        "points": _of_points,
        "times": _of_times,
    }[item.kind](item)


def too_few(item: Comparison) -> str:
    """Why a signal cannot be judged yet."""
    if item.kind != "times":
        return f"{min(len(item.reference), len(item.window))} texts to compare, {item.minimum} are needed."
    return (
        f"how long it took is known of {len(item.window)} answers of the window and of {len(item.reference)} of the "
        f"same version at the same time of day on the days before; {item.minimum} of each are needed."
    )


def _of_texts(item: Comparison) -> str:
    assert item.score is not None
    return (
        f"given a live and a reference text, a classifier tells them apart {item.score.value:.0%} of the time, where "
        "guessing would 50%"
    )


def _of_numbers(item: Comparison) -> str:
    sides = [np.asarray(side, dtype=float) for side in (item.reference, item.window)]
    medians = [float(np.median(side)) for side in sides]
    digits = 2 if item.name == "confidence" else 1 if abs(medians[0]) < 100 else 0
    unit = "" if item.name == "confidence" else item.unit if item.unit.startswith("%") else f" {item.unit}"
    before, now = (f"{value:.{digits}f}" for value in medians)
    if before != now:
        return f"the median {_moved(before, now)}{unit}"
    # What moved then is a tail, and the mean knows of it.
    means = (f"{side.mean():.{digits}f}" for side in sides)
    return f"the median stayed at {now}{unit}, and the mean {_moved(*means)}"


def _of_mix(item: Comparison) -> str:
    names = sorted({*map(str, item.reference), *map(str, item.window)})
    sides = (list(item.reference), list(item.window))
    shares = [
        (name, sides[0].count(name) / len(sides[0]), sides[1].count(name) / len(sides[1])) for name in names
    ]
    name, before, now = max(shares, key=lambda share: abs(share[2] - share[1]))
    moved = _moved(f"{before:.0%}", f"{now:.0%}")
    if item.name == "language":
        name = "texts in no clear language" if name == "unsure" else f"texts in {name!r}"
        return f"{name} {moved}"
    return f"{name} {moved} of answers"


def _of_times(item: Comparison) -> str:
    before, now = (tail_of(np.asarray(side, dtype=float)) for side in (item.reference, item.window))
    digits = 0 if min(before, now) >= 10 else 1
    return (
        f"nine of ten answers were computed within {now:,.{digits}f} milliseconds, at the same time of day on the days "
        f"before within {before:,.{digits}f}"
    )


def _of_points(item: Comparison) -> str:
    before, now = (np.asarray(side, dtype=float).mean(axis=0) for side in (item.reference, item.window))
    most = int(np.abs(now - before).argmax())
    return f"the mean probability of {item.classes[most]} {_moved(f'{before[most]:.2f}', f'{now[most]:.2f}')}"


def _moved(before: str, now: str) -> str:
    return f"stayed at {now}" if before == now else f"went from {before} to {now}"
