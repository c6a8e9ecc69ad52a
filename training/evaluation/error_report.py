"""The error report of a candidate: a page and a table of its mistakes."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from stores.tabular.spreadsheets import spreadsheet_safe as safe
from training.data import Part
from training.evaluation.candidate import CandidateResult
from training.evaluation.config import AnalysisConfig
from training.evaluation.error_analysis import (
    Group,
    Mistake,
    by_length,
    by_truncation,
    confident_mistakes,
    confusions,
)
from training.reporting.style import BLUE, GREY, drawing, write_page

FOLDER = "errors"
"""Folder of what quotes texts, beside a candidate's pictures, which do not."""

_MOST_PAIRS = 20


def write_error_analysis(
    folder: Path, evaluated: CandidateResult, test: Part, config: AnalysisConfig, confidence: float
) -> None:
    """Write `errors/mistakes.csv` and `errors/errors.html` into `folder`; both quote texts."""
    labels, predictions = evaluated.description.labels, evaluated.test_predictions
    mistakes = confident_mistakes(test, predictions, labels, config.mistakes)
    lengths = by_length(test, predictions, labels, confidence)
    reading = by_truncation(test, predictions, labels, confidence)
    picture = _groups_picture([*lengths, *reading] if len(reading) > 1 else lengths, len(lengths))
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    _write_mistakes(folder / FOLDER / "mistakes.csv", mistakes)
    write_page(
        "errors.html.j2",
        folder / FOLDER / "errors.html",
        name=evaluated.name,
        scores=evaluated.test,
        wrong=sum(map(sum, evaluated.test.confusion))
        - sum(row[i] for i, row in enumerate(evaluated.test.confusion)),
        pairs=confusions(evaluated.test, confidence)[:_MOST_PAIRS],
        lengths=lengths,
        reading=reading,
        picture=picture,
        mistakes=mistakes,
    )


def _write_mistakes(path: Path, mistakes: Sequence[Mistake]) -> None:
    with path.open("w", encoding="utf-8", errors="replace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                "row",
                "id",
                "label",
                "given",
                "confidence",
                "label_probability",
                "tokens",
                "truncated",
                "text",
                "position",
            ]
        )
        for item in mistakes:
            writer.writerow(
                [
                    item.row, item.id, safe(item.label), safe(item.given), f"{item.confidence:.4f}",
                    f"{item.label_probability:.4f}", item.tokens, item.truncated, safe(item.text), item.position,
                ]
            )  # fmt: skip


def _groups_picture(groups: Sequence[Group], lengths: int) -> str:
    with drawing(0.9 + 0.36 * len(groups)) as picture:
        axes = picture.axes
        for row, group in enumerate(groups):
            colour = BLUE if row < lengths else GREY
            axes.hlines(row, group.accuracy.low, group.accuracy.high, color=colour, linewidth=3, alpha=0.5)
            axes.scatter(group.accuracy.value, row, color=colour, s=30, zorder=3)
        axes.set_yticks(range(len(groups)), [f"{group.name} ({group.texts:,})" for group in groups])
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
        axes.set_xlabel("accuracy with interval")
    return picture.address
