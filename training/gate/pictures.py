"""The pictures of the gate's page, as SVG data addresses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from training.behaviour.result import Behaviour
from training.calibration import Bin
from training.cost import Cost
from training.evaluation import Differences, Scores
from training.gate.config import GateConfig
from training.pages import BLUE, GREEN, GREY, ORANGE, RED, drawing
from training.pictures.confusion import fill_confusion
from training.resampling import Interval, share_interval


def difference_picture(differences: Differences, interval: Interval, min_gain: float) -> str:
    """How the macro-F1 difference to the champion spreads over the resamples, and where it must lie."""
    with drawing(2.6) as picture:
        axes, draws = picture.axes, differences.macro_f1_draws
        if draws.max() - draws.min() > 1e-9:
            axes.hist(draws, bins=40, color=BLUE, alpha=0.35)
        axes.axvspan(interval.low, interval.high, color=BLUE, alpha=0.15, label="interval", linewidth=0)
        axes.axvline(interval.value, color=BLUE, linewidth=2, label="difference")
        axes.axvline(
            min_gain, color=RED, linestyle="--", linewidth=1.4, label="the interval must lie right of this"
        )
        axes.margins(x=0.15)
        axes.set_xlabel("macro-F1, winner minus champion")
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        picture.figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
    return picture.address


def classes_picture(winner: Scores, champion: Scores | None) -> str:
    """F1 of each class with intervals, of both."""
    labels = list(winner.classes)
    with drawing(1.1 + 0.42 * len(labels)) as picture:
        axes = picture.axes
        drawn = [("winner", winner, BLUE, -0.13)]
        if champion is not None:
            drawn.append(("champion", champion, GREY, 0.13))
        for name, scores, colour, shift in drawn:
            f1 = [scores.classes[label].f1 for label in labels]
            rows = np.arange(len(labels)) + (shift if champion is not None else 0)
            axes.hlines(
                rows,
                [item.low for item in f1],
                [item.high for item in f1],
                color=colour,
                linewidth=2.5,
                alpha=0.6,
            )
            axes.scatter([item.value for item in f1], rows, color=colour, s=28, zorder=3, label=name)
        axes.set_yticks(range(len(labels)), labels)
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
        axes.set_xlabel("F1 with interval")
        if champion is not None:
            picture.figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return picture.address


def confusion_picture(scores: Scores) -> str:
    """True against given labels: the share of each row as colour, the number of texts written in."""
    with drawing(1.6 + 0.45 * min(len(scores.classes), 10)) as picture:
        fill_confusion(picture.axes, scores, most_numbered=12).axes.set_aspect("auto")
    return picture.address


def reliability_picture(bins: Sequence[Bin]) -> str:
    """Confidence against accuracy with the interval of each stretch; the size of a point is its number of texts."""
    with drawing(3.2) as picture:
        axes = picture.axes
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":", linewidth=1.2)
        total = sum(item.texts for item in bins)
        for item in bins:
            if not item.texts:
                continue
            sure = share_interval(round(item.accuracy * item.texts), item.texts)
            axes.vlines(item.confidence, sure.low, sure.high, color=BLUE, alpha=0.5, linewidth=2)
            axes.scatter(
                item.confidence, item.accuracy, s=14 + 220 * item.texts / total, color=ORANGE,
                edgecolor="white", zorder=3,
            )  # fmt: skip
        axes.set_xlim(0, 1.03)
        axes.set_ylim(0, 1.03)
        axes.set_xlabel("confidence")
        axes.set_ylabel("share that is right")
    return picture.address


def cost_picture(costs: Mapping[str, Cost], gate: GateConfig) -> str:
    """Time and size of both, with the ceilings where there are any."""
    with drawing(1.1 + 0.75 * len(costs)) as picture:
        picture.axes.remove()
        panels = picture.figure.subplots(1, 2, sharey=True)
        names, colours = list(costs), [BLUE, GREY]
        figures = (
            ("ms a text, median", [costs[name].milliseconds for name in names], gate.max_milliseconds),
            ("MB", [costs[name].megabytes for name in names], gate.max_megabytes),
        )
        for axes, (unit, values, ceiling) in zip(panels, figures, strict=True):
            bars = axes.barh(range(len(names)), values, color=colours[: len(names)], height=0.5)
            axes.bar_label(bars, labels=[f"{value:.3g}" for value in values], padding=3, fontsize=9)
            axes.margins(x=0.35)
            axes.set_xlabel(unit)
            if ceiling is not None:
                axes.axvline(ceiling, color=RED, linestyle="--", linewidth=1.4)
        panels[0].set_yticks(range(len(names)), names)
        panels[0].invert_yaxis()
    return picture.address


def behaviour_picture(behaviour: Behaviour, gate: GateConfig) -> str:
    """Each behavioural test: the share that passed, with its interval and its limit."""
    tests = behaviour.tests
    with drawing(0.9 + 0.36 * len(tests)) as picture:
        axes = picture.axes
        for row, test in enumerate(tests):
            limit = getattr(gate.behaviour, f"{test.kind}_min")
            colour = GREEN if limit is None or test.share.value >= limit else RED
            axes.hlines(row, test.share.low, test.share.high, color=colour, linewidth=3, alpha=0.5)
            axes.scatter(test.share.value, row, color=colour, s=30, zorder=3)
            if limit is not None:
                axes.vlines(limit, row - 0.35, row + 0.35, color=GREY, linestyle="--", linewidth=1.2)
        axes.set_yticks(range(len(tests)), [test.name.replace("_", " ") for test in tests])
        axes.invert_yaxis()
        axes.set_xlim(min(0.5, *(test.share.low - 0.02 for test in tests)), 1.02)
        axes.grid(axis="x", alpha=0.3)
        axes.set_xlabel("share that passed; dashed: limit")
    return picture.address
