"""What the pictures share: a sheet to draw on, colours that stay apart, and where the axis of a share begins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Okabe and Ito's palette, darkened where it must be read on white: apart for colour-blind eyes too.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b3589a", "#8a6d00", "#3d9bd1", "#555555", "#a0522d")
MARKERS = "osD^vPX*"
LINES = ("-", "--", "-.", ":")


def sheet(width: float, height: float, **options: Any) -> tuple[Figure, Axes]:
    """A figure of so many inches with one pair of axes."""
    # Not pyplot: it keeps every figure, and chooses a backend for the whole process.
    figure = Figure(figsize=(width, height), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(**options)
    if options.get("projection") is None:
        axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def saved(figure: Figure, path: Path) -> Path:
    """Write the picture; returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def floor_of(values: Sequence[float]) -> float:
    """Where an axis of shares begins so that differences show: a tenth below the lowest value, at least 0."""
    return max(0.0, math.floor(10 * min(values) - 0.5) / 10)


def style(index: int) -> dict[str, Any]:
    """Colour, marker and line of the `index`-th of several series."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[index % len(LINES)],
    }


def whole_epochs(axes: Axes, last: float) -> None:
    """Name the axis of epochs, and mark whole ones, but for a training that has hardly one."""
    axes.set_xlabel("epoch")
    if last >= 2:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
