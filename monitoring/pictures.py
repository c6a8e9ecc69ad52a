"""Pictures of a verdict: both sides of every signal, side by side; SVG as data addresses, so a report is one file."""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from monitoring.signals.chance import Floats
from monitoring.signals.comparison import Comparison, share_of_threshold
from monitoring.verdict import Accuracy, Drift

REFERENCE_COLOUR, WINDOW_COLOUR, BREACH_COLOUR = "#8a94a6", "#2563eb", "#c2410c"
_CLASS_COLOURS = {"breach": BREACH_COLOUR, "ok": WINDOW_COLOUR, "insufficient_data": "#bfdbfe"}
_MOST_BARS = 12
"""Of names side by side; more could not be read."""
_BEHIND = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
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


def overview_picture(drift: Drift) -> str | None:
    """Every judged signal as a share of the threshold from which it is a breach."""
    judged = [
        s for s in drift.signals if s.status in ("ok", "breach") and s.value is not None and s.threshold
    ]
    if not judged:
        return None
    ratios = [share_of_threshold(s.value or 0.0, s.threshold or 1.0, s.name) for s in judged]
    figure, axes = new_figure(6.4, 0.42 * len(judged) + 0.9)
    places = np.arange(len(judged))[::-1]
    colours = [BREACH_COLOUR if s.status == "breach" else WINDOW_COLOUR for s in judged]
    longest = max(2.0, min(6.0, max(ratios)))
    axes.barh(places, [min(ratio, longest) for ratio in ratios], color=colours, height=0.62)
    for place, ratio in zip(places, ratios, strict=True):
        label = f"{ratio:.1f}×" if ratio >= 0.05 else "0"
        axes.text(
            min(ratio, longest) + longest * 0.01,
            place,
            label,
            va="center",
            color="#334155",
            zorder=3,
            bbox=_BEHIND,
        )
    axes.axvline(1.0, color="#0f172a", linewidth=1.1, linestyle=(0, (4, 3)), zorder=2)
    axes.set_yticks(places, [s.title for s in judged])
    axes.tick_params(axis="y", length=0, labelcolor="#0f172a")
    axes.set_xlim(0, longest * 1.09)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("size of the change, as a multiple of its threshold")
    return as_svg(figure)


def signal_picture(item: Comparison) -> str:
    """Distribution of one signal in the reference and in the window."""
    figure, axes = new_figure(3.2, 2.0)
    {"mix": _draw_mix, "points": _draw_means}.get(item.kind, _draw_histograms)(axes, item)
    return as_svg(figure)


def classes_picture(accuracy: Accuracy) -> str | None:
    """F1 of every class with its interval, and where it was at registration."""
    scored = [score for score in accuracy.classes if score.f1 is not None]
    if not scored:
        return None
    figure, axes = new_figure(6.4, 0.42 * len(scored) + 0.9)
    places = np.arange(len(scored))[::-1]
    for place, score in zip(places, scored, strict=True):
        assert score.f1 is not None
        colour = _CLASS_COLOURS[score.status]
        axes.plot([score.f1.low, score.f1.high], [place, place], color=colour, linewidth=2, zorder=1)
        axes.scatter([score.f1.value], [place], color=colour, s=34, zorder=2, clip_on=False)
        if score.reference_f1 is not None:
            axes.scatter(
                [score.reference_f1], [place], marker="|", s=180, color=REFERENCE_COLOUR, linewidth=2
            )
    axes.set_yticks(places, [score.label for score in scored])
    axes.tick_params(axis="y", length=0, labelcolor="#0f172a")
    axes.set_ylim(-0.6, len(scored) - 0.4)
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("F1 with its interval (pale: too few labels); grey mark: at registration")
    return as_svg(figure)


def _draw_histograms(axes: Axes, item: Comparison) -> None:
    sides = [np.asarray(side, dtype=float) for side in (item.reference, item.window)]
    pooled = np.concatenate(sides)
    # The longest hundredth would squeeze everything else into one bar.
    low, high = (pooled.min(), pooled.max()) if item.name == "confidence" else np.quantile(pooled, [0, 0.99])
    edges = [float(edge) for edge in np.linspace(low, high if high > low else low + 1, 25)]
    for values, colour in zip(sides, (REFERENCE_COLOUR, WINDOW_COLOUR), strict=True):
        weights = np.full(len(values), 100 / len(values))
        axes.hist(np.clip(values, edges[0], edges[-1]), edges, weights=weights, color=colour, alpha=0.55)
        axes.hist(
            np.clip(values, edges[0], edges[-1]),
            edges,
            weights=weights,
            color=colour,
            histtype="step",
            linewidth=1.4,
        )
    axes.set_xlabel(item.unit)
    axes.set_ylabel("% of answers" if item.kind == "times" else "% of texts")


def _draw_mix(axes: Axes, item: Comparison) -> None:
    """Shares of the most frequent names."""
    counted = [Counter(map(str, side)) for side in (item.reference, item.window)]
    shares = {
        name: [100 * count[name] / max(1, count.total()) for count in counted]
        for name in sorted(counted[0] | counted[1])
    }
    kept = sorted(shares, key=lambda name: -max(shares[name]))[:_MOST_BARS]
    names = [name for name in shares if name in kept]
    _draw_pairs(axes, names, *(np.array([shares[name][side] for name in names]) for side in (0, 1)))
    axes.set_ylabel(item.unit)


def _draw_means(axes: Axes, item: Comparison) -> None:
    before, now = (np.asarray(side, dtype=float).mean(axis=0) for side in (item.reference, item.window))
    kept = np.sort(np.argsort(-np.maximum(before, now))[:_MOST_BARS])
    _draw_pairs(axes, [item.classes[place] for place in kept], before[kept], now[kept])
    axes.set_ylabel(item.unit)


def _draw_pairs(axes: Axes, names: Sequence[str], before: Floats, now: Floats) -> None:
    places = np.arange(len(names))
    axes.bar(places - 0.2, before, 0.38, color=REFERENCE_COLOUR)
    axes.bar(places + 0.2, now, 0.38, color=WINDOW_COLOUR)
    axes.set_xticks(
        places,
        [name if len(name) <= 14 else name[:13] + "…" for name in names],
        rotation=0 if len(names) <= 3 else 25,
        ha="center" if len(names) <= 3 else "right",
    )


def new_figure(width: float, height: float) -> tuple[Figure, Axes]:
    """An empty figure of so many inches, in the style of every picture here."""
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        figure = Figure(figsize=(width, height), layout="constrained")  # not pyplot: it keeps figures
        return figure, figure.add_subplot()


def as_svg(figure: Figure) -> str:
    """The figure as the address of an image that stands in the page itself."""
    buffer = io.StringIO()
    with matplotlib.rc_context(STYLE):  # type: ignore[arg-type]
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue().encode()).decode()


def signal_pictures(comparisons: Sequence[Comparison]) -> dict[str, str]:
    """Signal → picture, for every signal with values to draw."""
    return {
        item.name: signal_picture(item)
        for item in comparisons
        if item.score is not None and item.kind != "texts"
    }
