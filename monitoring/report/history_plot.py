"""Plots of checks over time: `history --picture` and the overview in the report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num

from monitoring.drift.signal import relative_change, signals, title_of
from monitoring.errors import MonitoringError
from monitoring.figures import (
    BREACH_COLOUR,
    REFERENCE_COLOUR,
    STYLE,
    WINDOW_COLOUR,
    as_svg,
    new_figure,
)
from monitoring.literal_figure import LiteralFigure
from stores.predictions.checks import Check

_MARKS = {"ok": "#15803d", "breach": BREACH_COLOUR, "insufficient_data": "#cbd5e1"}
_RETRAINED = "#7c3aed"
_TALLEST = 4.0
"""Times its threshold; larger changes are drawn so high, or the small ones could not be seen; the largest is named."""


def plot_history(checks: Sequence[Check], path: Path) -> None:
    """Draw checks, the oldest first; the suffix of `path` says the format.

    Raises:
        MonitoringError: no such format.
        OSError: the file cannot be written.
    """
    names = [name for name in signals() if any(name in check.signals for check in checks)]
    names += sorted({name for check in checks for name in check.signals} - set(names))
    labelled = any(check.accuracy is not None for check in checks)
    rows = [0.5, *([1.0] if labelled else []), *([1.0] * len(names))]
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        figure = LiteralFigure(
            figsize=(9, 0.78 * sum(rows) + 1.3), layout="constrained"
        )  # not pyplot: it keeps figures
        grid = figure.subplots(len(rows), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": rows})
        panels: list[Axes] = list(grid[:, 0])
        figure.suptitle(
            f"Checks of {checks[0].model_name}: size of every change in multiples of its threshold",
            x=0.01,
            ha="left",
            fontsize=11,
        )
        _draw_verdicts(panels[0], checks)
        if labelled:
            _draw_accuracy(panels[1], checks)
        for axes, name in zip(panels[2 if labelled else 1 :], names, strict=True):
            _draw_signal(axes, name, checks)
        for axes in panels:
            _draw_events(axes, checks, marked=panels[0])
        panels[-1].set_xlim(*limits_of(checks))
        locator = AutoDateLocator(minticks=3, maxticks=9)  # type: ignore[no-untyped-call]
        panels[-1].xaxis.set_major_locator(locator)
        panels[-1].xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]
        panels[-1].set_xlabel("end of the window, UTC")
        try:
            figure.savefig(path, dpi=144)
        except ValueError as error:  # "Format 'x' is not supported (supported formats: …)"
            raise MonitoringError(f"{path} cannot be drawn: {error}") from None


def _draw_verdicts(axes: Axes, checks: Sequence[Check]) -> None:
    for status, colour in _MARKS.items():
        found = [check for check in checks if check.status == status]
        if not found:
            continue
        axes.scatter(
            [_time(c.until) for c in found], [0] * len(found), marker="s", s=34, color=colour,
            label=status.replace("_", " "), zorder=3,
        )  # fmt: skip
    retrained = [check for check in checks if check.retrained_at is not None]
    if retrained:
        axes.scatter([], [], marker="^", color=_RETRAINED, label="retraining (hollow: failed)")
    axes.set_ylim(-1, 1)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    _name(axes, "Verdict")
    axes.legend(
        loc="lower right", bbox_to_anchor=(1, 1.25), ncols=4, frameon=False, fontsize=8.5, borderpad=0,
        handletextpad=0.2,
    )  # fmt: skip
    begun = ""
    for check in checks:
        if check.model_version != begun:
            begun = check.model_version
            axes.annotate(
                f"version {begun}", (_time(check.until), 1), xytext=(2, 2), textcoords="offset points",
                fontsize=8, color="#334155", annotation_clip=False,
            )  # fmt: skip


def _draw_accuracy(axes: Axes, checks: Sequence[Check]) -> None:
    known = [(_time(check.until), 100 * check.accuracy) for check in checks if check.accuracy is not None]
    axes.plot(*zip(*known, strict=True), color=WINDOW_COLOUR, marker="o", markersize=3, linewidth=1.2)
    low = min(value for _, value in known)
    axes.set_ylim(max(0.0, low - 8), 102)
    _name(axes, "Accuracy, %")


def _draw_signal(axes: Axes, name: str, checks: Sequence[Check]) -> None:
    times, sizes, colours = [], [], []
    for check in checks:
        found = check.signals.get(name)
        if found is None or found["value"] is None or not found["threshold"]:
            continue
        times.append(_time(check.until))
        sizes.append(relative_change(found["value"], found["threshold"], name))
        colours.append(BREACH_COLOUR if found["status"] == "breach" else WINDOW_COLOUR)
    axes.axhline(1, color="#0f172a", linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)
    heights = [min(_TALLEST, size) for size in sizes]
    axes.plot(times, heights, color=REFERENCE_COLOUR, linewidth=1, zorder=2)
    axes.scatter(times, heights, s=12, color=colours, zorder=3)
    if (largest := max(sizes, default=0.0)) > _TALLEST:
        axes.annotate(
            f"{largest:.0f}×", (times[sizes.index(largest)], _TALLEST), xytext=(-5, 1), textcoords="offset points",
            ha="right", va="center", fontsize=7.5, color="#334155",
        )  # fmt: skip
    axes.set_ylim(0, max([1.4, *(height * 1.1 for height in heights)]))
    axes.set_yticks([0, 1])
    _name(axes, title_of(name))


def _draw_events(axes: Axes, checks: Sequence[Check], *, marked: Axes) -> None:
    for before, after in pairwise(checks):
        if before.model_version != after.model_version:
            middle = (_time(before.until) + _time(after.until)) / 2
            axes.axvline(middle, color="#94a3b8", linewidth=1.2, zorder=0)
    for check in checks:
        if check.retrained_at is not None:
            fill = "none" if check.retrain_status not in (None, 0) else _RETRAINED
            at = _time(check.until)
            axes.axvline(at, color=_RETRAINED, linewidth=0.8, linestyle=":", zorder=0)
            if axes is not marked:
                continue
            axes.scatter(
                [at], [0], marker="^", s=38, facecolor=fill, edgecolor=_RETRAINED, zorder=4, clip_on=False,
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip


def limits_of(checks: Sequence[Check]) -> tuple[float, float]:
    """First and last day drawn: all ends of windows with some room, and at least the width of a window.

    Left to itself, matplotlib draws years around a single check.
    """
    ends = [_time(check.until) for check in checks]
    width = max((check.until - check.since) / 86_400 for check in checks[-1:])
    room = max(0.04 * (max(ends) - min(ends)), 0.5 * width, 1 / 24)
    return min(ends) - room, max(ends) + room


def _name(axes: Axes, title: str) -> None:
    axes.set_ylabel(title, rotation=0, ha="right", va="center", color="#0f172a", fontsize=8.5)


def _time(at: float) -> float:
    return float(date2num(datetime.fromtimestamp(at, UTC)))  # type: ignore[no-untyped-call]


_MOST_WINDOWS = 40
_LARGEST_DOT = 3.0
"""Times its threshold; a larger change gets no larger dot."""


def signals_over_time_picture(checks: Sequence[Check]) -> str | None:
    """One column a window, one row a signal, the area of a dot by how far the signal moved; None without a past.

    Args:
        checks: of windows that were held against the same reference, the oldest first, this one last.
    """
    shown = checks[-_MOST_WINDOWS:]
    names = [name for name in signals() if any(_relative_size(check, name) is not None for check in shown)]
    if len(shown) < 2 or not names:
        return None
    figure, axes = new_figure(7.6, 0.3 * len(names) + 0.9)
    for row, name in enumerate(reversed(names)):
        sizes = [
            (column, size)
            for column, check in enumerate(shown)
            if (size := _relative_size(check, name)) is not None
        ]
        breached = [shown[column].signals[name]["status"] == "breach" for column, _ in sizes]
        axes.scatter(
            [column for column, _ in sizes],
            [row] * len(sizes),
            s=[8 + 40 * min(size, _LARGEST_DOT) for _, size in sizes],
            color=[BREACH_COLOUR if breach else WINDOW_COLOUR for breach in breached],
            linewidths=0,
        )
    axes.set_yticks(range(len(names)), [title_of(name) for name in reversed(names)])
    axes.tick_params(axis="y", length=0, labelcolor="#0f172a")
    # Counted from the end: the last window is the one that the report is about.
    columns = list(range(len(shown) - 1, -1, -max(1, len(shown) // 6)))
    axes.set_xticks(columns, [_tick_label(shown[column].until) for column in columns])
    axes.set_xlim(-0.7, len(shown) - 0.3)
    axes.set_ylim(-0.7, len(names) - 0.3)
    axes.set_xlabel("end of the window, UTC")
    return as_svg(figure)


def _relative_size(check: Check, name: str) -> float | None:
    found = check.signals.get(name)
    if found is None or found["value"] is None or not found["threshold"]:
        return None
    return relative_change(found["value"], found["threshold"], name)


def _tick_label(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%-d %b\n%H:%M}"
