"""Plots of one candidate: confusion matrix, F1 per class, calibration, training curves."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from training.evaluation.calibration import Bin
from training.evaluation.intervals import Interval
from training.evaluation.metrics import Scores
from training.models.result import History
from training.style import (
    COLOURS,
    MOST_CLASSES,
    LiteralFigure,
    floor_of,
    mark,
    saved,
    sheet,
    shortened,
    style,
    weakest,
    whole_epochs,
)

_UPRIGHT_FROM = 7
"""Classes from which the names below the matrix are turned upright, so that they do not overlap."""
_NUMBERED_FROM = 21
"""Classes from which the columns are marked by numbers, which the rows explain."""


def fill_confusion(axes: Axes, scores: Scores, *, most_numbered: int) -> AxesImage:
    """Draw true against predicted labels: shares of each row as colour, numbers of texts for up to `most_numbered`
    classes.
    """
    labels, counts = [shortened(label) for label in scores.classes], np.asarray(scores.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    places = range(len(labels))
    if len(labels) < _NUMBERED_FROM:
        upright = len(labels) >= _UPRIGHT_FROM
        axes.set_xticks(
            places, labels, rotation=90 if upright else 35, ha="center" if upright else "right",
            rotation_mode="default" if upright else "anchor",
        )  # fmt: skip
        axes.set_yticks(places, labels)
    else:
        marked = places[:: max(1, len(labels) // 20)]
        axes.set_xticks(marked, [str(place + 1) for place in marked], rotation=90, fontsize=6.5)
        axes.set_yticks(
            places,
            [f"{label}  {place + 1}" for place, label in zip(places, labels, strict=True)],
            fontsize=6.5,
        )
    axes.set_xlabel("predicted label")
    axes.set_ylabel("true label")
    axes.spines[:].set_visible(False)
    if len(labels) <= most_numbered:
        for row, column in np.ndindex(counts.shape):
            axes.text(
                column, row, str(counts[row, column] or "·"), ha="center", va="center",
                color="white" if shares[row, column] > 0.55 else "#333333",
            )  # fmt: skip
    return image


BLUE, ORANGE, GREY, GREEN = "#4c6a92", "#d98c3f", "#a0a0a0", "#5f9e6e"


def confusion_matrix(scores: Scores, path: Path, *, title: str) -> Path:
    """True against predicted labels: each row's shares as colour, the numbers of texts written in."""
    side = min(3.2 + 0.7 * len(scores.classes), 16)
    figure, axes = sheet(side + 1, side)
    image = fill_confusion(axes, scores, most_numbered=20)
    axes.set_title(title)
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the texts of a row")
    return saved(figure, path)


def class_f1(scores: Scores, path: Path, *, title: str) -> Path:
    """Precision, recall and F1 of each label, with intervals."""
    labels = weakest({label: found.f1.value for label, found in scores.classes.items()}, MOST_CLASSES)
    if len(labels) < len(scores.classes):
        title += f"\nthe {len(labels)} classes with the lowest F1 of {len(scores.classes)}"
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
    names = [f"{shortened(label)}\n{scores.classes[label].texts:,} texts" for label in labels]
    axes.set_yticks(np.arange(len(labels)) + 0.27, names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1)
    axes.set_title(title)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return saved(figure, path)


def reliability_diagram(panels: Mapping[str, tuple[Sequence[Bin], float]], path: Path, *, title: str) -> Path:
    """Confidence against accuracy for each panel (`as trained`, `calibrated`), by its bins and calibration error."""
    figure = LiteralFigure(figsize=(max(5.2, 4.5 * len(panels)), 4.6), layout="constrained", dpi=120)
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
    figure.axes[0].set_ylabel("accuracy")
    figure.suptitle(title)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False)
    return saved(figure, path)


def candidate_comparison(
    scores: Mapping[str, tuple[Interval, float, float]],
    winner: str | None,
    path: Path,
    *,
    title: str,
    baselines: Collection[str] = (),
) -> Path:
    """Test macro-F1 with intervals beside the cost of serving.

    Args:
        scores: candidate → (macro-F1, milliseconds a text, megabytes).
        winner: the candidate that won, drawn in another colour.
        path: where the picture goes.
        title: its title.
        baselines: the candidates that are only compared with, drawn in grey.
    """
    names = list(scores)
    figure = LiteralFigure(figsize=(10, 1.9 + 0.55 * len(names)), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    quality, speed, size = figure.subplots(1, 3, sharey=True, width_ratios=(2, 1, 1))
    rows = range(len(names))
    colours = [ORANGE if name == winner else GREY if name in baselines else BLUE for name in names]
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
    for axes, place, unit in ((speed, 1, "latency, ms (one text)"), (size, 2, "size, MB")):
        bars = axes.barh(rows, [scores[name][place] for name in names], color=colours, height=0.5)
        axes.bar_label(bars, labels=[f"{scores[name][place]:.3g}" for name in names], padding=3, fontsize=9)
        axes.margins(x=0.25)
        axes.set_xlabel(unit)
        axes.tick_params(left=False)
    quality.set_yticks(list(rows), [mark(name, winner, baselines) for name in names])
    quality.set_ylim(len(names) - 0.5, -0.6)
    for axes in (quality, speed, size):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    return saved(figure, path)


METRICS = {"accuracy": "accuracy", "macro_precision": "precision", "macro_recall": "recall", "macro_f1": "F1"}
"""Figure as the history and the scores keep it → what a picture calls it."""


def draw_training(history: History, folder: Path, *, name: str) -> list[Path]:
    """Write `loss.png`, `accuracy.png`, `f1.png` and `metrics_over_time.png`; nothing for a model without epochs.

    A training of about one epoch is drawn over its optimiser steps. After a single evaluation, its values are written
    beside the points; `schedule.evaluate_every` gives such a training a curve.
    """
    if not history.epochs:
        return []
    return [
        _loss(history, folder / "loss.png", name),
        _followed(
            history, {"accuracy": "accuracy"}, folder / "accuracy.png", f"{name}: accuracy over training"
        ),
        _followed(history, {"macro_f1": "F1"}, folder / "f1.png", f"{name}: macro-F1 over training"),
        _followed(history, METRICS, folder / "metrics_over_time.png", f"{name}: all metrics over training"),
    ]


def draw_final(scores: Scores, path: Path, *, name: str) -> Path:
    """Accuracy, precision, recall and F1 on the test part as bars, with their intervals."""
    found = {shown: scores.headlines[key] for key, shown in METRICS.items()}
    figure, axes = sheet(6.4, 4.2)
    low = floor_of([interval.low for interval in found.values()])
    for place, interval in enumerate(found.values()):
        axes.bar(place, interval.value - low, bottom=low, width=0.6, color=COLOURS[place], zorder=2)
        axes.plot([place, place], [interval.low, interval.high], color="#222222", linewidth=1.6, zorder=3)
        axes.annotate(
            f"{interval.value:.3f}", (place, interval.high), xytext=(0, 5), textcoords="offset points", ha="center"
        )  # fmt: skip
    axes.set_xticks(
        range(len(found)), [shown if shown == "accuracy" else f"macro {shown}" for shown in found]
    )
    _from(axes, low, "test")
    axes.set_title(f"{name}: {scores.texts:,} test texts; lines: intervals")
    return saved(figure, path)


def _loss(history: History, path: Path, name: str) -> Path:
    figure, axes = sheet(6.8, 4.2)
    if history.losses:
        epochs, values = zip(*history.losses, strict=True)
        axes.plot(_progress(history, epochs), values, color=COLOURS[0], alpha=0.85, label="training")
    evaluated = _progress(history, [entry["epoch"] for entry in history.epochs])
    axes.plot(
        evaluated, [entry["validation_loss"] for entry in history.epochs], label="validation", **style(1)
    )
    axes.set_ylim(0, axes.get_ylim()[1] * 1.05)
    axes.set_ylabel("cross-entropy, nats")
    axes.set_title(f"{name}: loss over training")
    _along(figure, axes, history)
    return saved(figure, path)


def _followed(history: History, metrics: Mapping[str, str], path: Path, title: str) -> Path:
    figure, axes = sheet(6.8, 4.2)
    known = {key: shown for key, shown in metrics.items() if key in history.epochs[0]}
    for index, (key, shown) in enumerate(known.items()):
        axes.plot(
            _progress(history, [entry["epoch"] for entry in history.epochs]),
            [entry[key] for entry in history.epochs],
            markersize=5, label=shown if shown == "accuracy" else f"macro {shown}", **style(index),
        )  # fmt: skip
    if len(history.epochs) == 1:
        _annotate_last(axes, _progress(history, [history.epochs[0]["epoch"]])[0], history.epochs[0], known)
    _from(axes, floor_of([entry[key] for entry in history.epochs for key in known]), "validation")
    axes.set_title(title)
    _along(figure, axes, history)
    return saved(figure, path)


def _annotate_last(axes: Axes, place: float, entry: Mapping[str, float], known: Mapping[str, str]) -> None:
    """Write the values of a single evaluation beside its points, from the highest down so that none overlap."""
    for line, key in enumerate(sorted(known, key=lambda key: -entry[key])):
        axes.annotate(
            f"{known[key]} {entry[key]:.3f}", (place, max(entry[key] for key in known)),
            xytext=(-8, -13 * line), textcoords="offset points", ha="right", va="center", fontsize=9,
        )  # fmt: skip


def _in_steps(history: History) -> bool:
    """Whether the horizontal axis counts optimiser steps: a training of about one epoch has no epochs to show."""
    return bool(history.steps) and max(entry["epoch"] for entry in history.epochs) < 2


def _progress(history: History, epochs: Sequence[float]) -> list[float]:
    """Positions on the horizontal axis of moments given in epochs."""
    if not _in_steps(history):
        return list(epochs)
    last = max(entry["epoch"] for entry in history.epochs)
    return [epoch * history.steps / last for epoch in epochs]


def _along(figure: Figure, axes: Axes, history: History) -> None:
    """Set up the horizontal axis, mark the evaluation whose weights were kept, and add the legend below."""
    best = max(history.epochs, key=lambda entry: entry["macro_f1"])
    kept, last = _progress(history, [best["epoch"], max(entry["epoch"] for entry in history.epochs)])
    axes.axvline(kept, color="#999999", linestyle=":", linewidth=1.2, label="kept", zorder=0)
    if _in_steps(history):
        axes.set_xlabel("optimiser step")
    else:
        whole_epochs(axes, last)
    axes.set_xlim(0, last * 1.04)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=5, frameon=False)


def _from(axes: Axes, low: float, part: str) -> None:
    """An axis of shares of a part from `low` to a little above 1; it says so where it does not begin at 0."""
    axes.set_ylim(low, 1 + 0.04 * (1 - low))
    axes.grid(axis="y", alpha=0.25)
    axes.set_ylabel(f"on the {part} part" + (f" (begins at {low:g})" if low > 0 else ""))
