"""Classify the texts of a chunk and make the columns that are added to its rows.

An engine scores the chunks of a job as they are read: `local_engine` here, or `service.batch_scoring.ray`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from classifier import Classifier, PredictionFailed, Predictions
from service.batch_scoring.model import ScoringModel
from service.batch_scoring.tables import Chunk
from stores.tabular import Columns, NewColumn

_DIGITS = 6
UNPREDICTABLE = "the model failed on this text"


def new_columns(
    labels: Sequence[str], *, prefix: str, scores: bool, stages: Sequence[str] = ()
) -> dict[str, type]:
    """Names and kinds of the columns that scoring adds: what the model says, why it says nothing, each probability.

    Where the model has `stages`, also which one answered.
    """
    kinds: dict[str, type] = {"label": str, "score": float, "tokens": int, "truncated": bool, "error": str}
    if stages:
        kinds |= {"stage": str}
    if scores:
        kinds |= {f"p_{label}": float for label in labels}
    return {prefix + name: kind for name, kind in kinds.items()}


def classify_each(classifier: Classifier, texts: Sequence[str]) -> list[Predictions | None]:
    """Predictions a text, None for a text that the model fails on.

    One such text fails the whole call, so the texts are halved until it is isolated.
    """
    if not texts:
        return []
    try:
        found = classifier.classify(texts)
    except PredictionFailed:
        if len(texts) == 1:
            return [None]
        half = len(texts) // 2
        return classify_each(classifier, texts[:half]) + classify_each(classifier, texts[half:])
    return [
        Predictions(
            found.probabilities[row : row + 1],
            [found.tokens[row]],
            [found.truncated[row]],
            found.stages[row : row + 1],
        )
        for row in range(len(texts))
    ]


def answer(
    classifier: Classifier,
    texts: Sequence[str | None],
    problems: Sequence[str | None],
    columns: Mapping[str, type],
) -> tuple[Columns, dict[str, int]]:
    """The added columns of a chunk, and how many rows have which problem.

    Args:
        classifier: the model.
        texts: one a row; None where there is nothing to classify.
        problems: why a text is None.
        columns: as `new_columns` gives them.
    """
    predicted = iter(classify_each(classifier, [text for text in texts if text is not None]))
    rows: list[tuple[Any, ...]] = []
    counts: dict[str, int] = {}
    stages = classifier.stages
    width = len(columns) - (6 if stages else 5)
    for text, reason in zip(texts, problems, strict=True):
        found, problem = (next(predicted), None) if text is not None else (None, reason)
        if found is None:
            problem = problem or UNPREDICTABLE
            counts[problem] = counts.get(problem, 0) + 1
            rows.append((None, None, None, None, problem, *([None] if stages else []), *[None] * width))
            continue
        probabilities = [round(float(p), _DIGITS) for p in found.probabilities[0]]
        best = int(np.argmax(found.probabilities[0]))
        rows.append(
            (
                classifier.labels[best],
                probabilities[best],
                found.tokens[0],
                found.truncated[0],
                None,
                *([stages[int(found.stages[0])]] if stages else []),
                *probabilities[:width],
            )
        )
    return {
        name: NewColumn(kind, [row[position] for row in rows])
        for position, (name, kind) in enumerate(columns.items())
    }, counts


@dataclass(frozen=True, slots=True)
class ScoredChunk:
    """A chunk with what is added to its rows."""

    chunk: Chunk
    added: Columns
    problems: dict[str, int]
    """Why rows were not scored → how many."""


class ScoringEngine(Protocol):
    """A generator of answers. Closing it gives back whatever it holds."""

    def __call__(
        self, chunks: Iterable[Chunk], model: ScoringModel, columns: Mapping[str, type]
    ) -> Generator[ScoredChunk, None, None]:
        """Answer chunks, in their order; takes few more of them than it has given back, so that memory stays bounded.

        Args:
            chunks: what to answer.
            model: which model answers.
            columns: what is added, as `new_columns` gives it.
        """
        ...


def local_engine(
    chunks: Iterable[Chunk], model: ScoringModel, columns: Mapping[str, type]
) -> Generator[ScoredChunk, None, None]:
    """One chunk after the other, here."""
    for chunk in chunks:
        yield ScoredChunk(chunk, *answer(model.classifier, chunk.texts, chunk.problems, columns))
