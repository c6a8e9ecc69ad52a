"""Plots and a table that compare the candidates of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from rich.box import SIMPLE_HEAD
from rich.table import Table

from training.evaluation.candidate import CandidateResult
from training.evaluation.plots import BLUE, GREEN, GREY, METRICS, ORANGE
from training.experiment.schema import Experiment
from training.style import COLOURS, floor_of, mark, saved, sheet, style, whole_epochs

_SPOKES = {**METRICS, "calibration_error": "calibration"}
Point = tuple[str, str | None, float, float]
"""Candidate, its phase, macro-precision, macro-recall."""
_COLOURS = (BLUE, GREEN, ORANGE, "#8c6bb1", "#b5524f")
_MARKERS = ("o", "s", "D", "^", "v")


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


def precision_recall(
    points: Sequence[Point],
    trials: Sequence[tuple[float, float]],
    winner: str | None,
    path: Path,
    *,
    title: str,
) -> Path:
    """Macro-precision against macro-recall on the validation part, with lines of equal F1.

    Args:
        points: the candidates.
        trials: (precision, recall) of complete trials, as small dots.
        winner: the candidate that won; its name is bold.
        path: where the picture goes.
        title: its title.
    """
    figure, axes = sheet(7.6, 6.2)
    everything = np.asarray([point[2:] for point in points] + list(trials))
    low = max(0.0, float(everything.min()) - 0.04)
    high = min(1.02, float(everything.max()) + 0.04)
    _equal_f1(axes, low, high)
    if trials:
        axes.scatter(
            [recall for _, recall in trials], [precision for precision, _ in trials],
            s=14, color=GREY, alpha=0.7, label="trials of the search",
        )  # fmt: skip
    phases = list(dict.fromkeys(phase for _, phase, _, _ in points))
    for index, phase in enumerate(phases):
        shown = [point for point in points if point[1] == phase]
        axes.scatter(
            [point[3] for point in shown], [point[2] for point in shown], s=70, zorder=3,
            color=_COLOURS[index % len(_COLOURS)], marker=_MARKERS[index % len(_MARKERS)], label=phase or "candidates",
        )  # fmt: skip
    # Names beside the picture's points, spread so that near ones stay readable.
    ranked = sorted(points, key=lambda point: point[2])
    heights = _spread([point[2] for point in ranked], 0.045 * (high - low))
    for (name, _, precision, recall), height in zip(ranked, heights, strict=True):
        axes.annotate(
            f"{name} (winner)" if name == winner else name, (recall, precision),
            xytext=(high + 0.02 * (high - low), height), textcoords="data", annotation_clip=False, va="center",
            fontsize=9, fontweight="bold" if name == winner else "normal",
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.6},
        )  # fmt: skip
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_xlabel("macro-recall")
    axes.set_ylabel("macro-precision")
    axes.set_title(title)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    return saved(figure, path)


def _equal_f1(axes: Axes, low: float, high: float) -> None:
    recall = np.linspace(max(low, 1e-3), high, 200)
    for f1 in np.linspace(low, min(high, 1.0), 6)[1:-1]:
        with np.errstate(divide="ignore", invalid="ignore"):
            precision = f1 * recall / (2 * recall - f1)
        inside = (precision >= low) & (precision <= high) & (2 * recall > f1)
        axes.plot(recall[inside], precision[inside], color="#dddddd", linewidth=1, zorder=0)
        if inside.any():
            axes.annotate(
                f"F1 {f1:.2f}", (recall[inside][-1], precision[inside][-1]), color=GREY, fontsize=8,
                xytext=(-4, 4), textcoords="offset points", ha="right",
            )  # fmt: skip


def _spread(heights: Sequence[float], gap: float) -> list[float]:
    """`heights`, rising, moved up where they are nearer than `gap`."""
    spread: list[float] = []
    for height in heights:
        spread.append(max(height, spread[-1] + gap) if spread else height)
    return spread


def draw_balance(
    experiment: Experiment,
    evaluated: Sequence[CandidateResult],
    winner: str | None,
    trials: Sequence[tuple[float, float]],
    path: Path,
) -> None:
    """Draw precision against recall of every candidate, and of the `trials` of a search, on the validation part."""
    ranked = _ranked(evaluated)
    precision_recall(
        [
            (
                item.name,
                experiment.phase_of(item.name),
                item.validation.macro_precision.value,
                item.validation.macro_recall.value,
            )
            for item in ranked
        ],
        trials,
        winner,
        path,
        title=f"{experiment.name}: {ranked[0].validation.texts:,} validation texts",
    )


def balance_table(experiment: Experiment, evaluated: Sequence[CandidateResult], winner: str | None) -> Table:
    """Precision and recall of every candidate on the validation part, best first."""
    table = Table(
        title="Precision and recall on the validation part, which chooses",
        title_justify="left", box=SIMPLE_HEAD, collapse_padding=True,
    )  # fmt: skip
    table.add_column("candidate", no_wrap=True)
    table.add_column("phase", no_wrap=True)
    for heading in ("precision", "recall", "F1", "interval"):
        table.add_column(heading, justify="right", no_wrap=True)
    for item in _ranked(evaluated):
        scores = item.validation
        table.add_row(
            item.name,
            experiment.phase_of(item.name) or "",
            f"{scores.macro_precision.value:.3f}",
            f"{scores.macro_recall.value:.3f}",
            f"{scores.macro_f1.value:.3f}",
            f"{scores.macro_f1.low:.3f}–{scores.macro_f1.high:.3f}",
            style="bold" if item.name == winner else None,
        )
    return table


def _ranked(evaluated: Sequence[CandidateResult]) -> list[CandidateResult]:
    return sorted(evaluated, key=lambda item: -item.validation.macro_f1.value)
