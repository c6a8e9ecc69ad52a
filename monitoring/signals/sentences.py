"""What happened to a signal, in words that a person can check."""

from __future__ import annotations

import numpy as np

from monitoring.signals.comparison import Comparison


def in_words(item: Comparison) -> str:
    """A clause about a signal that was measured; it begins small and has no full stop."""
    return {
        "texts": _of_texts,
        "numbers": _of_numbers,
        "mix": _of_mix,
        "points": _of_points,
    }[item.kind](item)


def _of_texts(item: Comparison) -> str:
    assert item.score is not None
    return (
        f"of a live and a reference text a classifier tells which is which {item.score.value:.0%} of the time (50% is "
        "guessing)"
    )


def _of_numbers(item: Comparison) -> str:
    before, now = (float(np.median(np.asarray(side, dtype=float))) for side in (item.reference, item.window))
    digits = 2 if item.name == "confidence" else 1 if abs(before) < 100 else 0
    unit = "" if item.name == "confidence" else item.unit if item.unit.startswith("%") else f" {item.unit}"
    return f"the median went from {before:.{digits}f} to {now:.{digits}f}{unit}"


def _of_mix(item: Comparison) -> str:
    names = sorted({*map(str, item.reference), *map(str, item.window)})
    sides = (list(item.reference), list(item.window))
    shares = [
        (name, sides[0].count(name) / len(sides[0]), sides[1].count(name) / len(sides[1])) for name in names
    ]
    name, before, now = max(shares, key=lambda share: abs(share[2] - share[1]))
    if item.name == "language":
        name = "texts in no clear language" if name == "unsure" else f"texts in {name!r}"
        return f"{name} went from {before:.0%} to {now:.0%}"
    return f"{name} went from {before:.0%} to {now:.0%} of answers"


def _of_points(item: Comparison) -> str:
    before, now = (np.asarray(side, dtype=float).mean(axis=0) for side in (item.reference, item.window))
    most = int(np.abs(now - before).argmax())
    return f"the mean probability of {item.classes[most]} went from {before[most]:.2f} to {now[most]:.2f}"
