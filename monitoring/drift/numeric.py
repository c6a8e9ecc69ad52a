"""Signals with one number per text: Wasserstein distance, the quantiles that changed, histograms."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from monitoring.drift.permutation import Floats, Score, numeric_scores
from monitoring.drift.signal import Comparison, DriftData, DriftSignal, SignalSettings
from monitoring.figures import histograms

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GRID = (np.arange(200) + 0.5) / 200
_QUANTILES = {
    0.5: ("median", ""),
    0.05: ("5th percentile", "below"),
    0.1: ("10th percentile", "below"),
    0.25: ("lower quartile", ""),
    0.75: ("upper quartile", ""),
    0.9: ("90th percentile", "above"),
    0.95: ("95th percentile", "above"),
}
"""Quantile → its name, and the side of it on which the tail lies."""
_SECOND_PART = 0.25
"""Share of the distance from which a second part of the distribution is described too."""


class NumericSettings(SignalSettings):
    """Effect floor that the numeric signals share."""

    monitoring_min_numeric_shift: float = Field(default=0.1, ge=0)
    """Effect floor of numeric signals: Wasserstein distance in standard deviations of the reference."""


class NumericSignal(DriftSignal):
    """Base of signals with one number per text; a subclass gives `sides`, and `floor` where it has its own setting."""

    measure = "Wasserstein distance, in standard deviations of the reference"
    settings_class: ClassVar[type[SignalSettings]] = NumericSettings
    evidently_type = "numerical"
    evidently_method = "wasserstein"
    is_probability: ClassVar[bool] = False
    """Whether values are probabilities: two decimals, no unit in sentences, and the histogram shows the full range."""

    def floor(self, data: DriftData) -> float:  # noqa: ARG002
        """MONITORING_MIN_NUMERIC_SHIFT."""
        assert isinstance(self.settings, NumericSettings), f"{self.name} has a settings class and no floor()"
        return self.settings.monitoring_min_numeric_shift

    def score(self, comparison: Comparison, data: DriftData) -> Score:
        """The Wasserstein distance with its null, computed for all numeric signals at once."""
        return data.once(_scores)[comparison.name]

    def figure(self, comparison: Comparison) -> Figure:
        """Histograms of both sides."""
        return histograms(*_sides(comparison), unit=self.unit, full_range=self.is_probability)

    def features(self, comparison: Comparison) -> Floats:
        """Ranks (Pettitt 1979) and their squares, for a change of the tails (Lepage 1971)."""
        from scipy.stats import rankdata

        values = np.concatenate(_sides(comparison))
        ranks = rankdata(values) / len(values) - 0.5
        return np.stack([ranks, ranks**2], axis=1)

    def describe(self, comparison: Comparison) -> str:
        """The quantiles that changed most, by their share of the Wasserstein distance.

        The distance is the mean difference of the quantile functions. Of its low, middle and high part the one with the
        largest share comes first, by its quantile; another one follows if its share is at least a quarter and it moved
        in the opposite direction.
        """
        sides = _sides(comparison)
        difference = np.quantile(sides[1], _GRID) - np.quantile(sides[0], _GRID)
        parts = [
            (float(np.abs(difference[inside]).sum()), float(difference[inside].sum()), (low, high))
            for low, high in ((0.25, 0.75), (0.0, 0.25), (0.75, 1.0))
            for inside in [(low <= _GRID) & (high > _GRID)]
        ]
        parts.sort(key=lambda part: -part[0])
        total = sum(part[0] for part in parts)
        clauses: list[tuple[float, str]] = []
        for size, direction, bounds in parts:
            opposite = clauses and direction * clauses[0][0] < 0 and size >= _SECOND_PART * total
            if size and (not clauses or opposite) and (words := self._largest_quantile(sides, bounds)):
                clauses.append((direction, words))
        if clauses:
            return ", while ".join(words for _, words in clauses[:2])
        means = [float(side.mean()) for side in sides]
        digits = next((d for d in range(5) if f"{means[0]:.{d}f}" != f"{means[1]:.{d}f}"), 4)
        return f"the mean {went(*(f'{mean:.{digits}f}' for mean in means))}{self._unit}"

    def _largest_quantile(self, sides: tuple[Floats, Floats], bounds: tuple[float, float]) -> str:
        """The quantile within the bounds that changed most; empty where no printed figure differs."""
        inside = [share for share in _QUANTILES if bounds[0] <= share <= bounds[1]]
        quantiles = zip(inside, *(np.quantile(side, inside) for side in sides), strict=True)
        for share, before, now in sorted(quantiles, key=lambda quantile: -abs(quantile[2] - quantile[1])):
            figures = self._figure(sides[0], before), self._figure(sides[0], now)
            if figures[0] != figures[1]:
                name, side = _QUANTILES[share]
                return f"the {name} {went(*figures)}{self._unit}" + (self._tail(sides, side) if side else "")
        return ""

    def _tail(self, sides: tuple[Floats, Floats], side: str) -> str:
        """The share of the window beyond the reference's 5th or 95th percentile, in brackets."""
        limit = float(np.quantile(sides[0], 0.95 if side == "above" else 0.05))
        before, now = (
            float((values > limit if side == "above" else values < limit).mean()) for values in sides
        )
        if f"{before:.0%}" == f"{now:.0%}":
            return ""
        return (
            f" ({now:.0%} of texts are {side} {self._figure(sides[0], limit)}, {before:.0%} in the reference)"
        )

    def _figure(self, reference: Floats, value: float) -> str:
        size = abs(float(np.median(reference)))
        return f"{value:.{2 if self.is_probability else 1 if size < 100 else 0}f}"

    @property
    def _unit(self) -> str:
        if self.is_probability:
            return ""
        return self.unit if self.unit.startswith("%") else f" {self.unit}"


def went(before: str, now: str) -> str:
    """A verb phrase for two printed figures."""
    return f"stayed at {now}" if before == now else f"went from {before} to {now}"


def _sides(comparison: Comparison) -> tuple[Floats, Floats]:
    return np.asarray(comparison.reference, dtype=float), np.asarray(comparison.window, dtype=float)


def _scores(data: DriftData) -> dict[str, Score]:
    """Scores of all numeric signals with enough values: together, which is cheaper than one by one."""
    return numeric_scores(
        {
            item.name: _sides(item)
            for item in data.comparisons
            if isinstance(item.signal, NumericSignal) and item.enough
        },
        data.sampler,
    )
