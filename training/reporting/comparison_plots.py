"""Plots that compare the candidates of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from training.evaluation.candidate import CandidateResult
from training.reporting.plots import METRICS
from training.reporting.style import COLOURS, floor_of, mark, saved, sheet, style, whole_epochs

_SPOKES = {**METRICS, "calibration_error": "calibration"}


def draw_comparison(
    evaluated: Sequence[CandidateResult],
    winner: str | None,
    folder: Path,
    *,
    title: str,
    baselines: Collection[str] = (),
) -> list[Path]:
    """Write `accuracy.png`, `f1.png`, `all_metrics.png`, `radar.png`, and `accuracy_over_time.png` where any of the
    candidates has a training to follow; nothing for fewer than two candidates.
    """
    if len(evaluated) < 2:
        return []
    names = {item.name: mark(item.name, winner, baselines) for item in evaluated}
    written = [
        _one_figure(evaluated, names, "accuracy", "accuracy", folder / "accuracy.png", title),
        _one_figure(evaluated, names, "macro_f1", "macro-F1", folder / "f1.png", title),
        _all_metrics(evaluated, names, folder / "all_metrics.png", title),
        _radar(evaluated, names, folder / "radar.png", title),
    ]
    if any(item.trained.history.epochs for item in evaluated):
        written.append(_over_time(evaluated, names, folder / "accuracy_over_time.png", title))
    return written


def _one_figure(
    evaluated: Sequence[CandidateResult],
    names: Mapping[str, str],
    key: str,
    shown: str,
    path: Path,
    title: str,
) -> Path:
    figure, axes = sheet(8, 1.7 + 0.5 * len(evaluated))
    for row, item in enumerate(evaluated):
        interval = item.test.headlines[key]
        axes.barh(row, interval.value, height=0.55, color=COLOURS[row % len(COLOURS)], alpha=0.9, zorder=2)
        axes.plot([interval.low, interval.high], [row, row], color="#222222", linewidth=1.6, zorder=3)
        axes.annotate(
            f"{interval.value:.3f}", (interval.high, row), xytext=(6, 0), textcoords="offset points", va="center"
        )  # fmt: skip
    axes.set_yticks(range(len(evaluated)), [names[item.name] for item in evaluated])
    axes.invert_yaxis()
    low = floor_of([item.test.headlines[key].low for item in evaluated])
    axes.set_xlim(low, 1 + 0.08 * (1 - low))
    axes.set_xlabel(f"{shown} on {evaluated[0].test.texts:,} test texts; lines: intervals" + _begins(low))
    axes.grid(axis="x", alpha=0.25)
    axes.set_title(f"{title}: {shown}")
    return saved(figure, path)


def _all_metrics(
    evaluated: Sequence[CandidateResult], names: Mapping[str, str], path: Path, title: str
) -> Path:
    figure, axes = sheet(max(8.0, 1.2 + 0.5 * len(evaluated) * len(METRICS)), 4.6)
    width = 0.8 / len(evaluated)
    low = floor_of([item.test.headlines[key].low for item in evaluated for key in METRICS])
    for index, item in enumerate(evaluated):
        places = np.arange(len(METRICS)) + (index - (len(evaluated) - 1) / 2) * width
        intervals = [item.test.headlines[key] for key in METRICS]
        axes.bar(
            places, [interval.value - low for interval in intervals], bottom=low, width=0.92 * width,
            color=COLOURS[index % len(COLOURS)], label=names[item.name], zorder=2,
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
    figure.legend(loc="outside lower center", ncols=min(len(evaluated), 5), frameon=False)
    return saved(figure, path)


def _over_time(
    evaluated: Sequence[CandidateResult], names: Mapping[str, str], path: Path, title: str
) -> Path:
    figure, axes = sheet(8, 4.6)
    values = []
    for index, item in enumerate(evaluated):
        epochs = item.trained.history.epochs
        if epochs:
            values += [entry["accuracy"] for entry in epochs]
            axes.plot(
                [entry["epoch"] for entry in epochs], [entry["accuracy"] for entry in epochs], markersize=5,
                label=names[item.name], **style(index),
            )  # fmt: skip
    low = floor_of(values)
    axes.set_ylim(low, 1 + 0.04 * (1 - low))
    axes.set_xlim(left=0)
    whole_epochs(axes, axes.get_xlim()[1])
    axes.set_ylabel("accuracy on the validation part" + _begins(low))
    axes.grid(alpha=0.25)
    axes.set_title(f"{title}: accuracy over training")
    figure.legend(loc="outside lower center", ncols=min(len(evaluated), 5), frameon=False)
    return saved(figure, path)


def _radar(evaluated: Sequence[CandidateResult], names: Mapping[str, str], path: Path, title: str) -> Path:
    """Every spoke is better outwards; calibration is 1 minus the calibration error."""
    figure, axes = sheet(7, 6.6, projection="polar")
    angles = np.linspace(0, 2 * np.pi, len(_SPOKES), endpoint=False)
    values = {item.name: [_outwards(item, key) for key in _SPOKES] for item in evaluated}
    low = floor_of([value for series in values.values() for value in series])
    for index, (name, series) in enumerate(values.items()):
        looks = style(index)
        axes.plot(
            [*angles, angles[0]],
            [*series, series[0]],
            label=names[name],
            linewidth=1.8,
            markersize=5,
            **looks,
        )
        axes.fill(angles, series, color=looks["color"], alpha=0.06)
    shown = [f"macro {name}" if name in ("precision", "recall", "F1") else name for name in _SPOKES.values()]
    axes.set_xticks(angles, shown)
    axes.tick_params(axis="x", pad=24)
    axes.set_theta_offset(np.pi / 2)  # type: ignore[attr-defined]
    axes.set_ylim(low, 1)
    _number_rings(axes, half_way=np.pi / len(_SPOKES))
    axes.set_title(f"{title}\nthe centre is {low:g}; calibration: 1 − calibration error", pad=18, fontsize=11)
    figure.legend(loc="outside lower center", ncols=min(len(evaluated), 5), frameon=False)
    return saved(figure, path)


def _number_rings(axes: Axes, *, half_way: float) -> None:
    """Write the values of the rings between two spokes, above the lines: the axis's own numbers lie below them."""
    low, high = axes.get_ylim()
    rings = [value for value in axes.get_yticks() if low < value <= high]
    axes.set_yticks(rings, [""] * len(rings))
    for value in rings:
        axes.text(
            half_way, value, f"{value:g}", ha="center", va="center", fontsize=8, zorder=5,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1},
        )  # fmt: skip


def _outwards(item: CandidateResult, key: str) -> float:
    value = item.test.headlines[key].value
    return 1 - value if key == "calibration_error" else value


def _begins(low: float) -> str:
    return f" (begins at {low:g})" if low > 0 else ""
