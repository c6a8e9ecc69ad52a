"""Style and basic charts of every picture: colours, SVG output, histograms and paired bars.

matplotlib is imported when something is drawn: the signals import this module, and most checks draw nothing.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

REFERENCE_COLOUR, WINDOW_COLOUR, BREACH_COLOUR = "#8a94a6", "#2563eb", "#c2410c"
_MAX_BARS = 12
"""Categories with bars of their own; of more, those with the largest change, and the rest together."""
_MAX_VERTICAL = 3
"""Categories that fit under vertical bars; more get horizontal ones."""
STYLE = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#94a3b8",
    "xtick.color": "#475569",
    "ytick.color": "#475569",
    "axes.labelcolor": "#475569",
    "svg.hashsalt": "champion",
}


def on_one_line(label: str, longest: int = 40) -> str:
    """A label on one line, cut to `longest` characters."""
    line = " ".join(label.split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure in the common style; width and height in inches."""
    import matplotlib

    from monitoring.literal_figure import LiteralFigure

    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        figure = LiteralFigure(figsize=(width, height), layout="constrained")  # not pyplot: it keeps figures
        return figure, figure.add_subplot()


def as_svg(figure: Figure) -> str:
    """The figure as a data URL of an SVG image, so that a report is one file."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue().encode()).decode()


def histograms(
    reference: Floats, window: Floats, *, unit: str, of: str = "texts", full_range: bool = False
) -> Figure:
    """Histograms of both sides in percent.

    Args:
        reference: values of the reference.
        window: values of the window.
        unit: label of the horizontal axis.
        of: what is counted.
        full_range: draw all values; otherwise the largest 1 % are clipped, which would squeeze the rest into one bar.
    """
    figure, axes = new_figure(3.2, 2.0)
    pooled = np.concatenate([reference, window])
    low, high = (pooled.min(), pooled.max()) if full_range else np.quantile(pooled, [0, 0.99])
    edges = [float(edge) for edge in np.linspace(low, high if high > low else low + 1, 25)]
    for values, colour in zip((reference, window), (REFERENCE_COLOUR, WINDOW_COLOUR), strict=True):
        weights = np.full(len(values), 100 / len(values))
        clipped = np.clip(values, edges[0], edges[-1])
        axes.hist(clipped, edges, weights=weights, color=colour, alpha=0.55)
        axes.hist(clipped, edges, weights=weights, color=colour, histtype="step", linewidth=1.4)
    axes.set_xlabel(unit)
    axes.set_ylabel(f"% of {of}")
    return figure


def largest_changes(names: list[str], before: Floats, now: Floats) -> tuple[list[str], Floats, Floats, int]:
    """The categories with the largest change, in their order, and the sum of the others as the last entry.

    Returns:
        Names, values of both sides, and how many categories the last entry sums up; 0 where each has its own.
    """
    if len(names) <= _MAX_BARS:
        return names, before, now, 0
    order = np.argsort(-np.abs(now - before), kind="stable")
    kept, rest = np.sort(order[: _MAX_BARS - 1]), order[_MAX_BARS - 1 :]
    then, today = (np.append(side[kept], side[rest].sum()) for side in (before, now))
    return [*(names[place] for place in kept), f"{len(rest)} others"], then, today, len(rest)


def paired_bars(all_names: Sequence[str], all_before: Floats, all_now: Floats, *, unit: str) -> Figure:
    """Two bars per category, reference and window; vertical for few categories, else horizontal."""
    names, before, now, others = largest_changes(list(all_names), all_before, all_now)
    figure, axes = new_figure(3.2, 2.0 if len(names) <= _MAX_VERTICAL else 0.6 + 0.21 * len(names))
    places = np.arange(len(names))
    if len(names) <= _MAX_VERTICAL:
        axes.bar(places - 0.2, before, 0.38, color=REFERENCE_COLOUR)
        axes.bar(places + 0.2, now, 0.38, color=WINDOW_COLOUR)
        axes.set_xticks(places, [on_one_line(name, 14) for name in names])
        axes.set_ylabel(unit)
        return figure
    places = places[::-1]
    drawn = len(names) - bool(others)
    axes.barh(places[:drawn] + 0.2, before[:drawn], 0.38, color=REFERENCE_COLOUR)
    axes.barh(places[:drawn] - 0.2, now[:drawn], 0.38, color=WINDOW_COLOUR)
    if others:
        # As numbers: this bar would be longer than all others and hide their differences.
        axes.text(
            0,
            places[-1],
            f" {before[-1]:.3g} before, {now[-1]:.3g} now",
            va="center",
            fontsize=8,
            color="#334155",
        )
    axes.set_yticks(places, [on_one_line(name, 22) for name in names], fontsize=8)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-0.6, len(names) - 0.4)
    axes.set_xlabel(unit)
    return figure
