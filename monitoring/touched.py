"""Which classes a change touches: how often each is answered now, how sure of it the model is, and how right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, norm

from monitoring.signals.chance import Floats
from monitoring.signals.comparison import Comparison
from monitoring.verdict import Accuracy, Estimate

_LEVEL = 0.01


@dataclass(frozen=True, slots=True)
class TouchedClass:
    """A class as it is answered in the reference and in the window."""

    label: str
    before: float
    """Share of the reference's answers."""
    now: float
    """Share of the window's answers."""
    sure_before: float | None
    """Median confidence of those answers in the reference; None: there are none."""
    sure_now: float | None
    f1: Estimate | None
    """Where enough labels came back."""
    reference_f1: float | None
    touched: bool
    """Whether its share or the confidence in it changed by more than chance explains, or its F1 is in breach."""


def touched_classes(comparisons: Sequence[Comparison], accuracy: Accuracy) -> list[TouchedClass]:
    """Every class that was answered, the touched ones first, each group by the change of its share.

    A z-test of the shares and a Mann-Whitney test of the confidence, at 1 %, Bonferroni-corrected over both tests of
    all classes. Empty where labels or confidence were not compared.
    """
    by_name = {item.name: item for item in comparisons}
    labels, confidence = by_name.get("predicted_label"), by_name.get("confidence")
    if labels is None or confidence is None or labels.score is None or confidence.score is None:
        return []
    answers = [np.array(list(map(str, side))) for side in (labels.reference, labels.window)]
    before, now = (np.asarray(side, dtype=float) for side in (confidence.reference, confidence.window))
    names = sorted({*answers[0], *answers[1]})
    level = _LEVEL / (2 * len(names))
    scores = {score.label: score for score in accuracy.classes}
    found = []
    for name in names:
        then, today = (side == name for side in answers)
        score = scores.get(name)
        found.append(
            TouchedClass(
                label=name,
                before=float(then.mean()),
                now=float(today.mean()),
                sure_before=_median(before[then]),
                sure_now=_median(now[today]),
                f1=score.f1 if score and score.status != "insufficient_data" else None,
                reference_f1=score.reference_f1 if score else None,
                touched=_share_moved(then, today, level)
                or _sureness_moved(before[then], now[today], level)
                or (score is not None and score.status == "breach"),
            )
        )
    return sorted(found, key=lambda item: (not item.touched, -abs(item.now - item.before)))


def _share_moved(before: NDArray[np.bool_], now: NDArray[np.bool_], level: float) -> bool:
    pooled = (before.sum() + now.sum()) / (len(before) + len(now))
    spread = math.sqrt(pooled * (1 - pooled) * (1 / len(before) + 1 / len(now)))
    return spread > 0 and bool(2 * norm.sf(abs(now.mean() - before.mean()) / spread) <= level)


def _sureness_moved(before: Floats, now: Floats, level: float) -> bool:
    return min(len(before), len(now)) > 0 and bool(mannwhitneyu(before, now).pvalue <= level)


def _median(values: Floats) -> float | None:
    return float(np.median(values)) if len(values) else None
