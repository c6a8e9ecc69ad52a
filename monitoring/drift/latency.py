"""The signal `service_latency`: is the 90th percentile of latency higher than at the same time of day before?

Consecutive latencies are correlated (a full queue stays full for a while), so answers are not exchangeable one by one:
a single slow minute would look like a thousand slow answers. Exchanged are *slices* of the window, of a day its hours:
each slice of a permuted window is taken from a random one of the windows, this one or one before (a permutation test
within strata, with the slices as blocks). So a daily pattern is on both sides, and a single slow slice is in the window
by chance as often as in any other window.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from monitoring.drift.permutation import Floats, Score, permutation_score
from monitoring.drift.signal import (
    Comparison,
    DriftData,
    DriftSignal,
    NotComparable,
    Sides,
    SignalSettings,
    register_signal,
)
from monitoring.figures import histograms
from monitoring.window import Latencies

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TAIL = 0.9
"""The quantile that is compared. The median would not change while one of three replicas is slow."""
_CELLS_AT_ONCE = 500_000
_SHORTEST = 1e-6
"""Seconds: the resolution of the clock, to avoid a division by zero."""
_SEED = 20
"""Of this signal's own generator: the scores of the other signals do not depend on whether latencies are known."""


class ServiceLatencySettings(SignalSettings):
    """Effect floor of `service_latency`."""

    monitoring_min_latency_ratio: float = Field(default=1.5, gt=1)
    """Effect floor of the service latency: its 90th percentile as a multiple of that at the same time of day on the
    days before."""

    monitoring_min_latency_rise: float = Field(default=0.01, ge=0)
    """The same in seconds: a smaller rise is no breach, whatever the multiple."""


@register_signal
class ServiceLatency(DriftSignal):
    """The 90th percentile of latency, compared with the days before."""

    name, title, unit, order = "service_latency", "Service latency", "milliseconds", 1_000_000
    measure = "90th percentile of latency, as a multiple of the days before"
    settings_class = ServiceLatencySettings
    settings: ServiceLatencySettings
    of_service = True
    alpha_share = 0.08
    score_without_change = 1.0

    def floor(self, data: DriftData) -> float:
        """MONITORING_MIN_LATENCY_RATIO, or the ratio that MONITORING_MIN_LATENCY_RISE amounts to."""
        assert data.window.latencies is not None
        return latency_floor(
            data.window.latencies,
            self.settings.monitoring_min_latency_ratio,
            self.settings.monitoring_min_latency_rise,
        )

    def sides(self, data: DriftData) -> Sides | None:
        """Milliseconds of each answer; None where the window has no latencies."""
        latencies = data.window.latencies
        return None if latencies is None else Sides(1000 * latencies.before, 1000 * latencies.now)

    def score(self, comparison: Comparison, data: DriftData) -> Score:  # noqa: ARG002
        """The ratio of the 90th percentiles with its null."""
        if data.window.latencies is None:
            raise NotComparable("The latencies of the window are not known.")
        return latency_score(data.window.latencies, data.sampler.permutations, np.random.default_rng(_SEED))

    def describe(self, comparison: Comparison) -> str:
        """Both percentiles."""
        before, now = (percentile_90(side) for side in _milliseconds(comparison))
        digits = 0 if min(before, now) >= 10 else 1
        return (
            f"the 90th percentile of latency was {now:,.{digits}f} ms, and {before:,.{digits}f} ms at the same time of "
            "day on the days before"
        )

    def describe_too_few(self, comparison: Comparison) -> str:
        """How many latencies are known, and how many are needed."""
        return (
            f"latency is known of {len(comparison.window)} answers of the window and of {len(comparison.reference)} of "
            f"the same version at the same time of day on the days before; {comparison.minimum} of each are needed."
        )

    def figure(self, comparison: Comparison) -> Figure:
        """Histograms of both sides."""
        return histograms(*_milliseconds(comparison), unit=self.unit, of="answers")


def _milliseconds(comparison: Comparison) -> tuple[Floats, Floats]:
    return np.asarray(comparison.reference, dtype=float), np.asarray(comparison.window, dtype=float)


def percentile_90(latencies: Floats) -> float:
    """The 90th percentile of latencies, in their unit."""
    return float(np.quantile(latencies, TAIL, method="inverted_cdf"))


def latency_floor(found: Latencies, ratio: float, rise: float) -> float:
    """The ratio below which nothing is a breach: `ratio`, or what is a rise by `rise` seconds where that is more."""
    return max(ratio, 1 + rise / max(percentile_90(found.before), _SHORTEST)) if len(found.before) else ratio


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
    return permutation_score(float(own[0]), np.concatenate(null))


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
