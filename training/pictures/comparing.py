"""Several candidates in one picture: accuracy, F1, all metrics, accuracy over time, and a radar chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from training.judging import Judged
from training.pictures.canvas import COLOURS, floor_of, saved, sheet, style, whole_epochs
from training.pictures.over_time import METRICS

_SPOKES = {**METRICS, "calibration_error": "calibration"}


def draw_comparison(judged: Sequence[Judged], winner: str | None, folder: Path, *, title: str) -> list[Path]:
    """Write `accuracy.png`, `f1.png`, `all_metrics.png`, `radar.png`, and `accuracy_over_time.png` where any of the
    candidates has a training to follow; nothing for fewer than two candidates.
    """
    if len(judged) < 2:
        return []
    written = [
        _one_figure(judged, winner, "accuracy", "accuracy", folder / "accuracy.png", title),
        _one_figure(judged, winner, "macro_f1", "macro-F1", folder / "f1.png", title),
        _all_metrics(judged, folder / "all_metrics.png", title),
        _radar(judged, folder / "radar.png", title),
    ]
    if any(item.trained.history.epochs for item in judged):
        written.append(_over_time(judged, folder / "accuracy_over_time.png", title))
    return written


def _one_figure(
    judged: Sequence[Judged], winner: str | None, key: str, shown: str, path: Path, title: str
) -> Path:
    figure, axes = sheet(8, 1.7 + 0.5 * len(judged))
    for row, item in enumerate(judged):
        interval = item.test.headlines[key]
        axes.barh(row, interval.value, height=0.55, color=COLOURS[row % len(COLOURS)], alpha=0.9, zorder=2)
        axes.plot([interval.low, interval.high], [row, row], color="#222222", linewidth=1.6, zorder=3)
        axes.annotate(
            f"{interval.value:.3f}", (interval.high, row), xytext=(6, 0), textcoords="offset points", va="center"
        )  # fmt: skip
    names = [f"{item.name} (winner)" if item.name == winner else item.name for item in judged]
    axes.set_yticks(range(len(judged)), names)
    axes.invert_yaxis()
    low = floor_of([item.test.headlines[key].low for item in judged])
    axes.set_xlim(low, 1 + 0.08 * (1 - low))
    axes.set_xlabel(f"{shown} on {judged[0].test.texts:,} test texts; lines: intervals" + _begins(low))
    axes.grid(axis="x", alpha=0.25)
    axes.set_title(f"{title}: {shown}")
    return saved(figure, path)


def _all_metrics(judged: Sequence[Judged], path: Path, title: str) -> Path:
    figure, axes = sheet(max(8.0, 1.2 + 0.5 * len(judged) * len(METRICS)), 4.6)
    width = 0.8 / len(judged)
    low = floor_of([item.test.headlines[key].low for item in judged for key in METRICS])
    for index, item in enumerate(judged):
        places = np.arange(len(METRICS)) + (index - (len(judged) - 1) / 2) * width
        intervals = [item.test.headlines[key] for key in METRICS]
        axes.bar(
            places, [interval.value - low for interval in intervals], bottom=low, width=0.92 * width,
            color=COLOURS[index % len(COLOURS)], label=item.name, zorder=2,
        )  # fmt: skip
        for place, interval in zip(places, intervals, strict=True):
            axes.plot([place, place], [interval.low, interval.high], color="#222222", linewidth=1.2, zorder=3)
            axes.annotate(
                f"{interval.value:.2f}", (float(place), interval.high), xytext=(0, 4),
                textcoords="offset points", ha="center", fontsize=8,
            )  # fmt: skip
    axes.set_xticks(
        range(len(METRICS)), [name if name == "accuracy" else f"macro {name}" for name in METRICS.values()]
    )
    axes.set_ylim(low, 1 + 0.06 * (1 - low))
    axes.set_ylabel("on the test part; lines: intervals" + _begins(low))
    axes.grid(axis="y", alpha=0.25)
    axes.set_title(f"{title}: all metrics")
    figure.legend(loc="outside lower center", ncols=min(len(judged), 5), frameon=False)
    return saved(figure, path)


def _over_time(judged: Sequence[Judged], path: Path, title: str) -> Path:
    figure, axes = sheet(8, 4.6)
    values = []
    for index, item in enumerate(judged):
        epochs = item.trained.history.epochs
        if epochs:
            values += [entry["accuracy"] for entry in epochs]
            axes.plot(
                [entry["epoch"] for entry in epochs], [entry["accuracy"] for entry in epochs], markersize=5,
                label=item.name, **style(index),
            )  # fmt: skip
    low = floor_of(values)
    axes.set_ylim(low, 1 + 0.04 * (1 - low))
    axes.set_xlim(left=0)
    whole_epochs(axes, axes.get_xlim()[1])
    axes.set_ylabel("accuracy on the validation part" + _begins(low))
    axes.grid(alpha=0.25)
    axes.set_title(f"{title}: accuracy over training")
    figure.legend(loc="outside lower center", ncols=min(len(judged), 5), frameon=False)
    return saved(figure, path)


def _radar(judged: Sequence[Judged], path: Path, title: str) -> Path:
    """Every spoke is better outwards; calibration is 1 minus the calibration error."""
    figure, axes = sheet(7, 6.6, projection="polar")
    angles = np.linspace(0, 2 * np.pi, len(_SPOKES), endpoint=False)
    values = {item.name: [_outwards(item, key) for key in _SPOKES] for item in judged}
    low = floor_of([value for series in values.values() for value in series])
    for index, (name, series) in enumerate(values.items()):
        looks = style(index)
        axes.plot(
            [*angles, angles[0]], [*series, series[0]], label=name, linewidth=1.8, markersize=5, **looks
        )
        axes.fill(angles, series, color=looks["color"], alpha=0.06)
    shown = [f"macro {name}" if name in ("precision", "recall", "F1") else name for name in _SPOKES.values()]
    axes.set_xticks(angles, shown)
    axes.tick_params(axis="x", pad=24)
    axes.set_theta_offset(np.pi / 2)  # type: ignore[attr-defined]
    axes.set_rlabel_position(36)  # type: ignore[attr-defined]
    axes.set_ylim(low, 1)
    axes.set_title(f"{title}\nthe centre is {low:g}; calibration: 1 − calibration error", pad=18, fontsize=11)
    figure.legend(loc="outside lower center", ncols=min(len(judged), 5), frameon=False)
    return saved(figure, path)


def _outwards(item: Judged, key: str) -> float:
    value = item.test.headlines[key].value
    return 1 - value if key == "calibration_error" else value


def _begins(low: float) -> str:
    return f" (begins at {low:g})" if low > 0 else ""
