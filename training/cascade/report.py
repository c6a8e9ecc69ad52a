"""What a cascade trades: accuracy against the share of texts that its cheap stages answer, and the shares by label."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from matplotlib.gridspec import GridSpec
from numpy.typing import NDArray

from classifier import Description
from classifier.runtime import Logits, RuntimeOptions
from classifier.runtimes.cascade import CascadeModel
from training.cascade.fit import run_stages
from training.data import Part
from training.data.labels import positions_of
from training.style import COLOURS, saved, sheet, shortened

CASCADE_PICTURE, CASCADE_FIGURES = "cascade.png", "cascade.json"
_CURVE = tuple(np.round(np.linspace(0.0, 1.0, 41), 3))
"""Thresholds for which the curve is drawn."""
_LEAST_RANGE = 1.0
"""Points of accuracy that the axis shows at least on each side, so that one text is no cliff."""


@dataclass(frozen=True, slots=True)
class TradeOff:
    """Accuracy of the whole cascade when a share of the texts is answered before the last stage."""

    share_early: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class LabelShare:
    """Early answers among the texts of one true label."""

    label: str
    texts: int
    share_early: float
    accuracy: float
    """Of the cascade."""
    full_accuracy: float
    """With every text sent through all stages."""


def write_cascade_report(
    bundle: Path, description: Description, parts: dict[str, Part], folder: Path, *, name: str
) -> None:
    """Write `cascade.png` and `cascade.json` into `folder`.

    Args:
        bundle: folder of the cascade's files.
        description: how to run them.
        parts: labelled texts by name; the first is the one that the thresholds were chosen on, the last the one whose
            labels are listed.
        folder: where the files go.
        name: of the candidate.
    """
    model = CascadeModel.load(bundle, description, RuntimeOptions())
    labels = description.labels
    curves: dict[str, list[TradeOff]] = {}
    chosen: dict[str, TradeOff] = {}
    shares: list[LabelShare] = []
    for part_name, part in parts.items():
        texts = (
            part.texts if description.clean is None else [description.clean.apply(t) for t in part.originals]
        )
        found = run_stages(model, texts, len(labels))
        truth = positions_of(part.labels, labels)
        curves[part_name] = [_trade_off(model, found, truth, threshold) for threshold in _CURVE]
        chosen[part_name] = _trade_off(model, found, truth, None)
        shares = _label_shares(model, found, truth, labels)
    facts = {
        "curves": {key: [asdict(point) for point in points] for key, points in curves.items()},
        "chosen": {key: asdict(point) for key, point in chosen.items()},
        "labels": [asdict(item) for item in shares],
    }
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    (folder / CASCADE_FIGURES).write_text(text, encoding="utf-8")
    _draw(curves, chosen, shares, folder / CASCADE_PICTURE, name=name)


def _trade_off(
    model: CascadeModel, found: Sequence[Logits], truth: NDArray[np.int64], threshold: float | None
) -> TradeOff:
    answers, stages = model.answers(found, threshold)
    return TradeOff(float((stages < len(found) - 1).mean()), float((answers == truth).mean()))


def _label_shares(
    model: CascadeModel, found: Sequence[Logits], truth: NDArray[np.int64], labels: Sequence[str]
) -> list[LabelShare]:
    answers, stages = model.answers(found, None)
    full, _ = model.answers(found, 2.0)
    shares = []
    for position, label in enumerate(labels):
        inside = truth == position
        count = int(inside.sum())
        if count:
            early = float((stages[inside] < len(found) - 1).mean())
            right = float((answers[inside] == position).mean())
            shares.append(LabelShare(label, count, early, right, float((full[inside] == position).mean())))
    return shares


def _draw(
    curves: dict[str, list[TradeOff]],
    chosen: dict[str, TradeOff],
    shares: Sequence[LabelShare],
    path: Path,
    *,
    name: str,
) -> Path:
    figure, left = sheet(11, 1.9 + max(2.6, 0.34 * len(shares)))
    grid = GridSpec(1, 2, figure=figure)
    left.set_subplotspec(grid[0])
    right = figure.add_subplot(grid[1])
    right.spines[["top", "right"]].set_visible(False)
    for colour, (part, points) in zip(COLOURS, curves.items(), strict=False):
        left.plot(
            [100 * p.share_early for p in points],
            [100 * p.accuracy for p in points],
            color=colour,
            label=part,
        )
        point = chosen[part]
        left.plot([100 * point.share_early], [100 * point.accuracy], "o", color=colour, markersize=8)
    left.set_xlabel("texts answered before the last stage (%)")
    left.set_ylabel("accuracy (%)")
    left.set_title(f"{name}: accuracy and early answers (dots: in use)", fontsize=10)
    middle = 100 * float(np.mean([point.accuracy for point in chosen.values()]))
    low, high = left.get_ylim()
    left.set_ylim(min(low, middle - _LEAST_RANGE), max(high, middle + _LEAST_RANGE))
    left.legend(frameon=False, loc="lower left")
    rows = np.arange(len(shares))
    right.barh(rows, [100 * item.share_early for item in shares], color=COLOURS[0], height=0.6)
    for row, item in zip(rows, shares, strict=True):
        change = 100 * (item.accuracy - item.full_accuracy)
        right.annotate(
            f"{change:+.1f}", (100 * item.share_early, row), xytext=(4, 0), textcoords="offset points",
            va="center", fontsize=8,
        )  # fmt: skip
    right.set_yticks(rows, [f"{shortened(item.label)}  ({item.texts:,})" for item in shares])
    right.invert_yaxis()
    right.set_xlim(0, 112)
    right.set_xlabel("answered early (%)")
    right.set_title(f"{list(curves)[-1]}, by label (figures: change of accuracy, points)", fontsize=10)
    return saved(figure, path)
