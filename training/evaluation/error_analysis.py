"""Error analysis: confusions, confident mistakes and groups of mistakes; a page and a table of them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier import Predictions
from stores.tabular.spreadsheets import spreadsheet_safe as safe
from training.config.evaluation import AnalysisConfig
from training.data import Part
from training.data.labels import positions_of
from training.evaluation.candidate import CandidateResult
from training.evaluation.intervals import Interval, share_interval
from training.evaluation.metrics import Scores
from training.style import BLUE, GREY, drawing, write_page

_GROUPS = 5


@dataclass(frozen=True)
class Group:
    """Texts of a kind, and how many of them get their label."""

    name: str
    texts: int
    accuracy: Interval


def by_length(part: Part, predictions: Predictions, labels: Sequence[str], confidence: float) -> list[Group]:
    """Accuracy in five groups of equal size by number of words, the shortest first; fewer where lengths repeat."""
    words = np.asarray([len(text.split()) for text in part.texts])
    right = _right(part, predictions, labels)
    edges = np.unique(np.floor(np.quantile(words, np.linspace(0, 1, _GROUPS + 1)[1:-1])))
    place = np.searchsorted(edges, words, side="left")  # up to the edge, and including it
    found = []
    for number in range(len(edges) + 1):
        inside = place == number
        if inside.any():
            low, high = int(words[inside].min()), int(words[inside].max())
            name = f"{low} words" if low == high else f"{low} to {high} words"
            found.append(_group(name, right[inside], confidence))
    return found


def by_truncation(
    part: Part, predictions: Predictions, labels: Sequence[str], confidence: float
) -> list[Group]:
    """Accuracy on texts that were read whole and on those that were cut, where there are any."""
    cut = np.asarray(predictions.truncated)
    right = _right(part, predictions, labels)
    kinds = (("read whole", ~cut), ("read in part", cut))
    return [_group(name, right[inside], confidence) for name, inside in kinds if inside.any()]


def _right(part: Part, predictions: Predictions, labels: Sequence[str]) -> NDArray[np.bool_]:
    right: NDArray[np.bool_] = predictions.probabilities.argmax(axis=1) == positions_of(part.labels, labels)
    return right


def _group(name: str, right: NDArray[np.bool_], confidence: float) -> Group:
    return Group(name, len(right), share_interval(int(right.sum()), len(right), confidence))


@dataclass(frozen=True)
class Mistake:
    """One text with a wrong label."""

    position: int
    """In its part, from 0."""
    row: int | None
    """Row of the source, from 1, the header not counted; None where it is not known."""
    id: str
    """What the source calls that row; empty where it has no column for it."""
    text: str
    """As in the source."""
    label: str
    """The true one."""
    given: str
    confidence: float
    """Probability of the label given."""
    label_probability: float
    """Probability of the true label."""
    tokens: int
    truncated: bool


@dataclass(frozen=True)
class Confusion:
    """One label taken for another."""

    label: str
    given: str
    texts: int
    share: Interval
    """Of the texts with this label."""


def confident_mistakes(
    part: Part, predictions: Predictions, labels: Sequence[str], most: int
) -> list[Mistake]:
    """Wrong texts of `part`, at most `most`, the one that the classifier is surest of first."""
    truth = positions_of(part.labels, labels)
    given = predictions.probabilities.argmax(axis=1)
    confidence = predictions.probabilities.max(axis=1)
    wrong = np.flatnonzero(given != truth)
    order = wrong[np.argsort(-confidence[wrong], kind="stable")][:most]
    return [
        Mistake(
            position=int(row),
            row=part.source_rows[row].number or None,
            id=part.source_rows[row].id,
            text=part.original(row),
            label=part.labels[row],
            given=labels[given[row]],
            confidence=float(confidence[row]),
            label_probability=float(predictions.probabilities[row, truth[row]]),
            tokens=predictions.tokens[row],
            truncated=predictions.truncated[row],
        )
        for row in order
    ]


def confusions(scores: Scores, confidence: float) -> list[Confusion]:
    """Every pair of labels that is confused at all, the most texts first."""
    labels, counts = list(scores.classes), np.asarray(scores.confusion)
    found = [
        Confusion(
            labels[row],
            labels[column],
            int(counts[row, column]),
            share_interval(int(counts[row, column]), int(counts[row].sum()), confidence),
        )
        for row, column in np.argwhere(counts)
        if row != column
    ]
    return sorted(found, key=lambda item: (-item.texts, -item.share.value, item.label))


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
