"""Every signal over the last windows, small enough for the report; `history --picture` draws them large."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from monitoring.pictures import BREACH_COLOUR, WINDOW_COLOUR, as_svg, new_figure
from monitoring.signals.comparison import TITLES, share_of_threshold
from stores.predictions.checks import Check

_MOST_WINDOWS = 40
_TALLEST = 3.0
"""Times its threshold; a larger change gets no larger dot."""


def over_time_picture(checks: Sequence[Check]) -> str | None:
    """One column a window, one row a signal, the area of a dot by how far the signal moved; None without a past.

    Args:
        checks: of windows that were held against the same reference, the oldest first, this one last.
    """
    shown = checks[-_MOST_WINDOWS:]
    names = [name for name in TITLES if any(_size(check, name) is not None for check in shown)]
    if len(shown) < 2 or not names:
        return None
    figure, axes = new_figure(7.6, 0.3 * len(names) + 0.9)
    for row, name in enumerate(reversed(names)):
        sizes = [
            (column, size) for column, check in enumerate(shown) if (size := _size(check, name)) is not None
        ]
        breached = [shown[column].signals[name]["status"] == "breach" for column, _ in sizes]
        axes.scatter(
            [column for column, _ in sizes],
            [row] * len(sizes),
            s=[8 + 40 * min(size, _TALLEST) for _, size in sizes],
            color=[BREACH_COLOUR if breach else WINDOW_COLOUR for breach in breached],
            linewidths=0,
        )
    axes.set_yticks(range(len(names)), [TITLES[name][0] for name in reversed(names)])
    axes.tick_params(axis="y", length=0, labelcolor="#0f172a")
    # Counted from the end: the last window is the one that the report is about.
    columns = list(range(len(shown) - 1, -1, -max(1, len(shown) // 6)))
    axes.set_xticks(columns, [_moment(shown[column].until) for column in columns])
    axes.set_xlim(-0.7, len(shown) - 0.3)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_xlabel("end of the window, UTC")
    return as_svg(figure)


def _size(check: Check, name: str) -> float | None:
    found = check.signals.get(name)
    if found is None or found["value"] is None or not found["threshold"]:
        return None
    return share_of_threshold(found["value"], found["threshold"], name)


def _moment(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%-d %b\n%H:%M}"
