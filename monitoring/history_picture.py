"""The history as one picture: verdicts above, accuracy, then every signal over time as a multiple of its threshold."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure

from monitoring.errors import MonitoringError
from monitoring.pictures import BREACH_COLOUR, REFERENCE_COLOUR, STYLE, WINDOW_COLOUR
from monitoring.signals.comparison import TITLES, share_of_threshold
from stores.predictions.checks import Check

_MARKS = {"ok": "#15803d", "breach": BREACH_COLOUR, "insufficient_data": "#cbd5e1"}
_RETRAINED = "#7c3aed"
_TALLEST = 4.0
"""Times its threshold; larger changes are drawn so high, or the small ones could not be seen; the largest is named."""


def draw_history(checks: Sequence[Check], path: Path) -> None:
    """Draw checks, the oldest first; the suffix of `path` says the format.

    Raises:
        MonitoringError: no such format.
        OSError: the file cannot be written.
    """
    names = [name for name in TITLES if any(name in check.signals for check in checks)]
    names += sorted({name for check in checks for name in check.signals} - set(names))
    labelled = any(check.accuracy is not None for check in checks)
    rows = [0.5, *([1.0] if labelled else []), *([1.0] * len(names))]
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(
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
        sizes.append(share_of_threshold(found["value"], found["threshold"], name))
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
    _name(axes, TITLES[name][0] if name in TITLES else name.replace("_", " ").capitalize())


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


def _name(axes: Axes, title: str) -> None:
    axes.set_ylabel(title, rotation=0, ha="right", va="center", color="#0f172a", fontsize=8.5)


def _time(at: float) -> float:
    return float(date2num(datetime.fromtimestamp(at, UTC)))  # type: ignore[no-untyped-call]
