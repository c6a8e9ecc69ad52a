"""The pictures of a run, each a PNG that can be shown to somebody who was not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.calibration import Bin
from training.evaluation import Scores
from training.pictures.canvas import saved, sheet
from training.pictures.confusion import fill_confusion
from training.resampling import Interval

BLUE, ORANGE, GREY, GREEN = "#4c6a92", "#d98c3f", "#a0a0a0", "#5f9e6e"


def confusion_matrix(scores: Scores, path: Path, *, title: str) -> Path:
    """True against given labels: each row's shares as colour, the numbers of texts written in."""
    side = min(3.2 + 0.7 * len(scores.classes), 16)
    figure, axes = sheet(side + 1, side)
    image = fill_confusion(axes, scores, most_numbered=20)
    axes.set_title(title)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the texts of a row")
    return saved(figure, path)


def class_f1(scores: Scores, path: Path, *, title: str) -> Path:
    """Precision, recall and F1 of each label, with intervals."""
    labels = list(scores.classes)
    figure, axes = sheet(8, 1.8 + 0.62 * len(labels))
    drawn = (("precision", GREY), ("recall", GREEN), ("f1", BLUE))
    for place, (name, colour) in enumerate(drawn):
        intervals = [getattr(scores.classes[label], name) for label in labels]
        rows = np.arange(len(labels)) + 0.27 * place
        axes.barh(
            rows,
            [item.value for item in intervals],
            height=0.25,
            color=colour,
            label="F1" if name == "f1" else name,
        )
        axes.hlines(
            rows,
            [item.low for item in intervals],
            [item.high for item in intervals],
            color="#333333",
            linewidth=1,
        )
        for row, item in zip(rows, intervals, strict=True):
            axes.annotate(
                f"{item.value:.2f}", (item.high, row), xytext=(4, 0), textcoords="offset points", va="center",
                fontsize=8,
            )  # fmt: skip
    names = [f"{label}\n{scores.classes[label].texts:,} texts" for label in labels]
    axes.set_yticks(np.arange(len(labels)) + 0.27, names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1)
    axes.set_title(title)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return saved(figure, path)


def reliability_diagram(panels: Mapping[str, tuple[Sequence[Bin], float]], path: Path, *, title: str) -> Path:
    """Confidence against accuracy for each panel (`as trained`, `calibrated`), by its bins and calibration error."""
    figure = Figure(figsize=(max(5.2, 4.5 * len(panels)), 4.6), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    drawn = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axes, (name, (bins, error)) in zip(drawn, panels.items(), strict=True):
        total = sum(item.texts for item in bins)
        filled = [item for item in bins if item.texts]
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.2)
        axes.bar(
            [(item.low + item.high) / 2 for item in filled],
            [item.accuracy for item in filled],
            width=0.9 / len(bins), color=BLUE, label="accuracy",
        )  # fmt: skip
        axes.scatter(
            [item.confidence for item in filled],
            [item.accuracy for item in filled],
            s=[15 + 250 * item.texts / total for item in filled],
            color=ORANGE, edgecolor="white", zorder=3, label="mean confidence; size: texts",
        )  # fmt: skip
        axes.set_title(f"{name}: calibration error {error:.3f}")
        axes.set_xlabel("confidence")
        axes.set_xlim(0, 1.02)
        axes.set_ylim(0, 1.05)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("share of answers that are right")
    figure.suptitle(title)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)
    return saved(figure, path)


def candidate_comparison(
    scores: Mapping[str, tuple[Interval, float, float]], winner: str | None, path: Path, *, title: str
) -> Path:
    """Test macro-F1 with intervals beside the cost of serving.

    Args:
        scores: candidate → (macro-F1, milliseconds a text, megabytes).
        winner: the candidate that won, drawn in another colour.
        path: where the picture goes.
        title: its title.
    """
    names = list(scores)
    figure = Figure(figsize=(10, 1.9 + 0.55 * len(names)), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    quality, speed, size = figure.subplots(1, 3, sharey=True, width_ratios=(2, 1, 1))
    rows = range(len(names))
    colours = [ORANGE if name == winner else BLUE for name in names]
    for row, name, colour in zip(rows, names, colours, strict=True):
        interval = scores[name][0]
        quality.plot(
            [interval.low, interval.high], [row, row], color=colour, linewidth=3, solid_capstyle="round"
        )
        quality.plot(interval.value, row, "o", color=colour, markersize=8)
        quality.annotate(
            f"{interval.value:.3f}", (interval.value, row), xytext=(0, 8), textcoords="offset points",
            ha="center", fontsize=9,
        )  # fmt: skip
    quality.set_xlabel("macro-F1 on the test part, with interval")
    quality.grid(axis="x", alpha=0.3)
    for axes, place, unit in ((speed, 1, "ms a text, one at a time"), (size, 2, "MB")):
        bars = axes.barh(rows, [scores[name][place] for name in names], color=colours, height=0.5)
        axes.bar_label(bars, labels=[f"{scores[name][place]:.3g}" for name in names], padding=3, fontsize=9)
        axes.margins(x=0.25)
        axes.set_xlabel(unit)
        axes.tick_params(left=False)
    quality.set_yticks(list(rows), [f"{name} (winner)" if name == winner else name for name in names])
    quality.set_ylim(len(names) - 0.5, -0.6)
    for axes in (quality, speed, size):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    return saved(figure, path)
