"""Bound of the false alarms of every single reference.

A permutation test holds its level on average over references. A user has one: where it happens to differ from its
source, every quiet window differs from it in the same way, and the larger the windows are beside the reference, the
more of them alarm. The statistic of a quiet window is the error of the reference plus that of the window; with n texts
in the window and m in the reference the two have 1/m and 1/n of the variance 1/m + 1/n that the permutation null
has. So the null's own quantiles, scaled to either part, tell how large the two may be at once:

    threshold = q(level / 3) · √(n / (m + n)) + q(0.3) · √(m / (m + n))

A reference whose error is below q(level / 3), which all but a third of `level` are, makes few of its quiet windows
alarm, at any n. With windows much smaller than the reference the sum lies below q(level) and changes nothing. The two
levels were chosen by simulation, so that they bound the worst references of large and of small windows alike;
docs/monitoring.md has the rates.
"""

from __future__ import annotations

import math

from monitoring.drift.permutation import Score

_OF_REFERENCE = 1 / 3
_OF_WINDOW = 0.3


def lasting_threshold(
    score: Score, level: float, reference: int, window: int, unchanged: float = 0.0
) -> float:
    """The score that a quiet window reaches rarely, whatever the error of the reference.

    Args:
        score: with its null.
        level: of the signal, after the correction over all signals.
        reference: values of the reference.
        window: values of the window.
        unchanged: the score where nothing changed.
    """
    size = reference + window
    of_reference = score.critical(_OF_REFERENCE * level) - unchanged
    of_window = max(0.0, score.critical(max(_OF_WINDOW, level)) - unchanged)
    return unchanged + of_reference * math.sqrt(window / size) + of_window * math.sqrt(reference / size)
