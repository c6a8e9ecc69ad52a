"""One model's training, figure by figure: loss, accuracy, F1, all metrics over time, and where they ended."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training.candidates.trained import History
from training.evaluation import Scores
from training.pictures.canvas import COLOURS, floor_of, saved, sheet, style, whole_epochs

METRICS = {"accuracy": "accuracy", "macro_precision": "precision", "macro_recall": "recall", "macro_f1": "F1"}
"""Figure as the history and the scores keep it → what a picture calls it."""


def draw_training(history: History, folder: Path, *, name: str) -> list[Path]:
    """Write `loss.png`, `accuracy.png`, `f1.png` and `metrics_over_time.png`; nothing for a model without epochs."""
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
        axes.plot(*zip(*history.losses, strict=True), color=COLOURS[0], alpha=0.85, label="training")
    epochs = [entry["epoch"] for entry in history.epochs]
    axes.plot(epochs, [entry["validation_loss"] for entry in history.epochs], label="validation", **style(1))
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
            [entry["epoch"] for entry in history.epochs], [entry[key] for entry in history.epochs],
            markersize=5, label=shown if shown == "accuracy" else f"macro {shown}", **style(index),
        )  # fmt: skip
    _from(axes, floor_of([entry[key] for entry in history.epochs for key in known]), "validation")
    axes.set_title(title)
    _along(figure, axes, history)
    return saved(figure, path)


def _along(figure: Figure, axes: Axes, history: History) -> None:
    """The axis of epochs with the one that was kept, and a legend where it covers nothing."""
    best = max(history.epochs, key=lambda entry: entry["macro_f1"])
    axes.axvline(best["epoch"], color="#999999", linestyle=":", linewidth=1.2, label="kept", zorder=0)
    last = max(entry["epoch"] for entry in history.epochs)
    whole_epochs(axes, last)
    axes.set_xlim(0, last * 1.04)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside lower center", ncols=5, frameon=False)


def _from(axes: Axes, low: float, part: str) -> None:
    """An axis of shares of a part from `low` to a little above 1; it says so where it does not begin at 0."""
    axes.set_ylim(low, 1 + 0.04 * (1 - low))
    axes.grid(axis="y", alpha=0.25)
    axes.set_ylabel(f"on the {part} part" + (f" (begins at {low:g})" if low > 0 else ""))
