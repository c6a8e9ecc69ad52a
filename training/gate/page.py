"""`report/gate.html`: the decision of the gate, with plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from training.config.evaluation import GateConfig
from training.data import Part
from training.data.labels import positions_of
from training.evaluation.behaviour import Behaviour
from training.evaluation.calibration import Bin, reliability
from training.evaluation.candidate import CandidateResult, uncalibrated
from training.evaluation.cost import Cost
from training.evaluation.intervals import Interval, calibration_interval, share_interval
from training.evaluation.metrics import Differences, Scores
from training.evaluation.plots import fill_confusion
from training.gate.checks import NONINFERIORITY
from training.gate.contenders import Champion
from training.gate.decision import Decision
from training.style import (
    BLUE,
    GREEN,
    GREY,
    MOST_CLASSES,
    ORANGE,
    RED,
    drawing,
    shortened,
    weakest,
    write_page,
)


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
    labels = weakest({label: found.f1.value for label, found in winner.classes.items()}, MOST_CLASSES)
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
        axes.set_yticks(range(len(labels)), [shortened(label) for label in labels])
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
        hidden = len(winner.classes) - len(labels)
        axes.set_xlabel("F1 with interval" + (f" ({hidden} best classes hidden)" if hidden else ""))
        if champion is not None:
            picture.figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return picture.address


def confusion_picture(scores: Scores) -> str:
    """True against predicted labels: the share of each row as colour, the number of texts written in."""
    with drawing(
        1.6 + 0.45 * min(len(scores.classes), 10) + 0.1 * max(0, len(scores.classes) - 10)
    ) as picture:
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
        axes.set_ylabel("accuracy")
    return picture.address


def cost_picture(costs: Mapping[str, Cost], gate: GateConfig) -> str:
    """Time and size of both, with the ceilings where there are any."""
    with drawing(1.1 + 0.75 * len(costs)) as picture:
        picture.axes.remove()
        panels = picture.figure.subplots(1, 2, sharey=True)
        names, colours = list(costs), [BLUE, GREY]
        figures = (
            ("latency, ms (median)", [costs[name].milliseconds for name in names], gate.max_latency_ms_p50),
            ("size, MB", [costs[name].megabytes for name in names], gate.max_megabytes),
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
    """Each behavioural test: the pass rate, with its interval and its limit."""
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
        axes.set_xlabel("pass rate; dashed: limit")
    return picture.address


def write_gate_pages(
    pages: Mapping[Path, bool],
    experiment: str,
    winner: CandidateResult,
    decision: Decision,
    champion: Champion | None,
    behaviour: Behaviour,
    test: Part,
    gate: GateConfig,
) -> None:
    """Write the page of one decision.

    Args:
        pages: the files to write, and whether each quotes failures of the behavioural tests, texts of the data.
        experiment: its name.
        winner: the run's winner.
        decision: what the gate decided about it.
        champion: the champion it was compared with, if there was one.
        behaviour: what the behavioural tests found.
        test: the test part.
        gate: what was demanded.
    """
    truth = positions_of(test.labels, winner.description.labels)
    raw = uncalibrated(winner)
    costs = {"winner": winner.cost}
    if champion is not None and champion.cost is not None:
        costs["champion"] = champion.cost
    compared = decision.differences is not None and decision.difference is not None
    cheaper = any(check.name == NONINFERIORITY for check in decision.checks)
    demanded = -gate.noninferiority_margin if cheaper else gate.min_gain
    shown: dict[str, Any] = {
        "difference": difference_picture(decision.differences, decision.difference, demanded)  # type: ignore[arg-type]
        if compared
        else "",
        "classes": classes_picture(winner.test, decision.champion_scores),
        "confusion": confusion_picture(winner.test),
        "champion_confusion": confusion_picture(decision.champion_scores) if decision.champion_scores else "",
        "before": reliability_picture(reliability(raw, truth)),
        "after": reliability_picture(winner.test.bins),
        "cost": cost_picture(costs, gate),
        "behaviour": behaviour_picture(behaviour, gate) if behaviour.tests else "",
    }
    error_before = calibration_interval(
        raw, truth, seed=0, confidence=gate.confidence, resamples=gate.resamples
    )
    for path, texts in pages.items():
        write_page(
            "gate.html.j2",
            path,
            texts=texts,
            experiment=experiment,
            winner=winner,
            decision=decision,
            behaviour=behaviour,
            gate=gate,
            shown=shown,
            error_before=error_before,
            costs=costs,
        )
