"""Levels of an alarm, so that months of checks over a rolling window raise few false ones.

Every check is another chance of a false alarm. A budget of one expected false episode in MONITORING_ALARM_DAYS is spent
evenly over time (alpha spending, Lan and DeMets 1983, Biometrika 70), in two ways:

- *at once*: one window is so unlikely that it is an alarm by itself;
- *if repeated*: two windows in succession, without a common prediction, are both in breach by the same signal.

Rolling windows share most of their texts, so a day of checks every 15 minutes has far fewer independent looks than 96,
and more than one. A standardised mean over a rolling window is locally a Brownian motion, and exceeds the quantile u in
clumps. Their number in one length of the window is (Siegmund 1985, *Sequential Analysis*; Siegmund and Yakir 2007, *The
Statistics of Gene Mapping*, with the correction ν for moments that lie apart)

    P(|Z| > u) · u² · ν(u · √(2 / checks))

`looks` is the factor of the probability: 1 where windows do not overlap, u² where they are checked without a pause.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

_NORMAL = NormalDist()
_DAY = 86400.0
_SIGNALS = 20
"""Number of signals with equal shares of the level that counting the looks assumes."""
_REPEATED = 0.5
"""Share of the budget that repeated breaches may spend at most; what they leave is for alarms at once."""
_STEPS = 60


@dataclass(frozen=True, slots=True)
class AlarmLevels:
    """What the figures of a window must reach, as alpha over all signals."""

    checks: int
    """Checks within one length of the window, this one included."""
    at_once: float
    """An alarm by this window alone."""
    repeated: float
    """An alarm where the window before reached it, too."""


@lru_cache(maxsize=256)
def alarm_levels(width: float, checks: int, *, days: float, alpha: float) -> AlarmLevels:
    """The levels that spend one expected false episode in `days`.

    Args:
        width: of the window, in seconds.
        checks: within one such length.
        days: in which one false episode is expected at most.
        alpha: of a single check; neither level is higher.
    """
    windows = days * _DAY / width
    # Either of the two windows may be the one that reaches it last.
    repeated = min(alpha, _level(lambda level: 2 * level**2 * looks(level, checks), _REPEATED / windows))
    spent = 2 * repeated**2 * looks(repeated, checks)
    at_once = _level(lambda level: level * looks(level, checks), 1 / windows - spent)
    return AlarmLevels(checks, min(alpha, at_once), repeated)


def looks(level: float, checks: int) -> float:
    """How many independent windows have as many clumps of exceedances as one length of a rolling window.

    >>> round(looks(0.0005, 1)), round(looks(0.0005, 24)), round(looks(0.0005, 96))
    (1, 9, 12)
    """
    quantile = -_NORMAL.inv_cdf(level / _SIGNALS / 2)
    return max(1.0, min(float(checks), quantile**2 * _overshoot(quantile * math.sqrt(2 / checks))))


def _overshoot(step: float) -> float:
    """ν: what is left of a Brownian motion's clumps at looks that lie this step apart (Siegmund and Yakir)."""
    half = step / 2
    return (_NORMAL.cdf(half) - 0.5) / half / (half * _NORMAL.cdf(half) + _NORMAL.pdf(half))


def _level(spent: Callable[[float], float], budget: float) -> float:
    """The largest level that spends at most `budget`, by bisection of its logarithm."""
    low, high = math.log(1e-12), math.log(0.5)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if spent(math.exp(middle)) <= budget:
            low = middle
        else:
            high = middle
    return math.exp(low)
