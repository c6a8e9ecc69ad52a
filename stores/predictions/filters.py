"""SQL expressions shared by several queries: sources, the label in force, and how much of a text is read.

The database cuts texts: there is a limit for each text, and one for all texts of a query.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, ScalarSelect, func, select

from stores.predictions.schema import feedback, predictions
from stores.predictions.texts import MEASURED_CHARACTERS
from stores.sources import label_sources


def of_sources(sources: Collection[str] | None) -> list[ColumnElement[bool]]:
    """That a prediction is of one of `sources`; None: any prediction."""
    return [] if sources is None else [predictions.c.source.in_(sorted(sources))]


def of_version(
    since: float, until: float, model_name: str, model_version: str, sources: Collection[str] | None
) -> list[ColumnElement[bool]]:
    """That a prediction is of a model version and `sources`, with `since` <= created_at < `until`."""
    return [
        predictions.c.created_at >= since,
        predictions.c.created_at < until,
        *of_sources(sources),
        predictions.c.model_name == model_name,
        predictions.c.model_version == model_version,
    ]


def label_in_force(sources: Collection[str] | None) -> ScalarSelect[int]:
    """Id of a prediction's newest label among those that count for predictions of `sources`; None: among all.

    It is looked up prediction by prediction in the index, so that the cost is the window's, not the history's.
    """
    every = feedback.alias("every")
    newest = select(func.max(every.c.id)).where(every.c.prediction_id == predictions.c.id)
    if sources is not None:
        newest = newest.where(every.c.source.in_(sorted(label_sources(sources))))
    return newest.correlate(predictions).scalar_subquery()


READ_CHARACTERS = 64 * 1024 * 1024
"""Characters of all texts that one query hands out, at most."""
_LEAST = 200
"""Characters of each text that are read however many there are."""


def characters_each(rows: int, most: int = MEASURED_CHARACTERS) -> int:
    """Characters to read of each of `rows` texts."""
    return max(_LEAST, min(most, READ_CHARACTERS // max(rows, 1)))


def text_up_to(characters: int) -> ColumnElement[str]:
    """The column `text`, cut by the database."""
    return func.substr(predictions.c.text, 1, characters)


def fair_length(lengths: list[int], total: int) -> int:
    """The largest number of characters to which all texts can be cut so that together they have at most `total`.

    Short texts stay whole, and long ones share what is left.
    """
    left, remaining = total, len(lengths)
    for length in sorted(lengths):
        if length * remaining > left:
            return max(1, left // remaining)
        left -= length
        remaining -= 1
    return max(lengths, default=1)
