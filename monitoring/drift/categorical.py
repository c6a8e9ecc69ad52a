"""Signals with one category per text: Jensen-Shannon distance, the category that changed most, paired bars."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from monitoring.drift.numeric import went
from monitoring.drift.permutation import Floats, Score, categorical_score
from monitoring.drift.signal import Comparison, DriftData, DriftSignal
from monitoring.figures import paired_bars

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class CategoricalSignal(DriftSignal):
    """Base of signals with one category per text; a subclass gives `sides`, `floor` and `clause`."""

    measure = "Jensen-Shannon distance"
    evidently_type: ClassVar[Literal["text", "categorical", "numerical"] | None] = "categorical"
    evidently_method = "jensenshannon"

    def clause(self, category: str, change: str) -> str:
        """How the change of one category's share reads; `change` is like `went from 10% to 20%`."""
        return f"{category} {change} of texts"

    def score(self, comparison: Comparison, data: DriftData) -> Score:
        """The Jensen-Shannon distance with its null."""
        return categorical_score(*_sides(comparison), data.sampler)

    def describe(self, comparison: Comparison) -> str:
        """The category that the score is of, or the one whose share changed most."""
        reference, window = _sides(comparison)
        shares = [
            (name, reference.count(name) / len(reference), window.count(name) / len(window))
            for name in sorted({*reference, *window})
        ]
        name, before, now = max(
            shares, key=lambda share: (share[0] == comparison.subject, abs(share[2] - share[1]))
        )
        digits = 0 if f"{before:.0%}" != f"{now:.0%}" else 1
        return self.clause(name, went(f"{before:.{digits}%}", f"{now:.{digits}%}"))

    def figure(self, comparison: Comparison) -> Figure:
        """Percentages of each category on both sides."""
        counted = [Counter(side) for side in _sides(comparison)]
        names = sorted(counted[0] | counted[1])
        before, now = (
            np.array([100 * count[name] / max(1, count.total()) for name in names]) for count in counted
        )
        return paired_bars(names, before, now, unit=self.unit)

    def features(self, comparison: Comparison) -> Floats:
        """Indicators of the categories."""
        reference, window = _sides(comparison)
        names = [*reference, *window]
        indicators: Floats = np.stack(
            [np.array(names) == name for name in sorted(set(names))], axis=1
        ).astype(float)
        return indicators


def _sides(comparison: Comparison) -> tuple[list[str], list[str]]:
    return list(map(str, comparison.reference)), list(map(str, comparison.window))
