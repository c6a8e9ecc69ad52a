"""The gain that a test part can show: smallest detectable difference of two classifiers, and texts for a smaller one.

The gate promotes where the lower end of the interval of the difference lies above `gate.min_gain`. A difference of two
classifiers on the same texts varies with their discordance, the share of texts that one of them has right and the other
has not (McNemar 1947): its variance is (discordance − difference²) / texts. Sizes follow by the normal approximation
(Connor 1987, "Sample size for testing differences in proportions for the paired-sample design").
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from training.config.evaluation import GateConfig
from training.evaluation.metrics import Differences

POWER = 0.8
"""Share of cases in which a gain of that size is noticed."""
POINT = 0.01
"""One point of macro-F1."""


@dataclass(frozen=True)
class Power:
    """What the test part can show of two classifiers with the discordance that was observed."""

    texts: int
    discordance: float
    """Share of the test texts that exactly one of the two has right."""
    smallest_gain: float
    """True gain of macro-F1 that passes the gate's demand on the gain in 80 % of cases."""
    more_texts: int
    """Further labelled texts in the test part with which a gain of one point above `gate.min_gain` would; 0: none."""

    def sentence(self) -> str:
        """The figures in words."""
        said = (
            f"These {self.texts:,} test texts notice a gain of {100 * self.smallest_gain:.1f} points of macro-F1 in "
            f"{POWER:.0%} of cases (exactly one of the two is right on {self.discordance:.1%} of them)"
        )
        if not self.more_texts:
            return said + "."
        return said + f"; about {_rounded(self.more_texts):,} more labelled test texts would notice 1 point."


def power_of(
    differences: Differences, right: NDArray[np.bool_], champion_right: NDArray[np.bool_], gate: GateConfig
) -> Power:
    """The power of the gate's demand on the gain.

    Args:
        differences: what was resampled; macro-F1 varies more than accuracy where classes are rare, by a factor that is
            taken from it.
        right: (texts,), whether the challenger's answer is right.
        champion_right: the same of the champion.
        gate: its `min_gain` and `confidence`.
    """
    texts = len(right)
    discordance = float((right != champion_right).mean())
    gain = float(right.mean() - champion_right.mean())
    spread = math.sqrt(max(discordance - gain**2, 0.0) / texts)
    ratio = float(differences.macro_f1_draws.std()) / spread if spread else 1.0
    quantile = NormalDist().inv_cdf
    reach = ratio * (quantile(0.5 + gate.confidence / 2) + quantile(POWER))

    def deviation(gain: float) -> float:
        """Standard deviation of the difference of one text; a gain takes at least as much discordance."""
        return math.sqrt(max(max(discordance, gain) - gain**2, 0.0))

    def margin(gain: float) -> float:
        return gain - gate.min_gain - reach * deviation(gain) / math.sqrt(texts)

    least = gate.min_gain + 1e-9  # at min_gain itself the margin is 0 where no answer differs
    smallest = least if margin(least) >= 0 else brentq(margin, least, 1.0)
    needed = math.ceil((reach * deviation(gate.min_gain + POINT) / POINT) ** 2)
    return Power(texts, discordance, float(smallest), max(0, needed - texts))


def _rounded(count: int) -> int:
    """To two digits: the figure is an estimate."""
    return round(count, 1 - int(math.log10(count)))
