"""Live texts whose truth is known: what retraining learns from, and how many of them there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, func, select

from stores.predictions.schema import feedback, predictions
from stores.predictions.store import PredictionStore


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text that was answered, with the label that is in force."""

    text: str
    label: str
    """What is true, not what was predicted."""
    created_at: float
    """When it was answered; seconds since the epoch, UTC."""


def labelled_texts(
    store: PredictionStore,
    since: float,
    until: float,
    *,
    model_name: str,
    per_label: int,
    source: str = "live",
) -> list[LabelledText]:
    """Labelled texts with `since` <= created_at < `until`, of every version of the model, newest first.

    The newest `per_label` of each label are read, so that memory does not grow with the store. Redacted predictions
    are left out: their text is gone.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    rows = _rows(since, until, model_name, source).subquery("labelled")
    newest = rows.c.created_at.desc(), rows.c.id.desc()
    place = func.row_number().over(partition_by=rows.c.label, order_by=newest).label("place")
    ranked = select(rows, place).subquery("ranked")
    query = select(ranked.c.text, ranked.c.label, ranked.c.created_at).where(ranked.c.place <= per_label)
    with store.reading() as connection:
        found = connection.execute(query.order_by(ranked.c.created_at.desc(), ranked.c.id.desc()))
        return [LabelledText(**row._mapping) for row in found]


def count_labelled_texts(
    store: PredictionStore, since: float, until: float, *, model_name: str, source: str = "live"
) -> int:
    """How many different texts `labelled_texts` could find; a text that was sent twice counts once.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    rows = _rows(since, until, model_name, source).subquery("labelled")
    with store.reading() as connection:
        return int(connection.execute(select(func.count(rows.c.text.distinct()))).scalar_one())


def _rows(since: float, until: float, model_name: str, source: str) -> Select[Any]:
    every = feedback.alias("every")
    newest = select(func.max(every.c.id)).where(every.c.prediction_id == predictions.c.id).scalar_subquery()
    return (
        select(predictions.c.id, predictions.c.text, predictions.c.created_at, feedback.c.label)
        .select_from(predictions.join(feedback, feedback.c.id == newest))
        .where(
            predictions.c.created_at >= since,
            predictions.c.created_at < until,
            predictions.c.source == source,
            predictions.c.model_name == model_name,
            predictions.c.redacted_at.is_(None),
        )
    )
