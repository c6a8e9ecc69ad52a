"""Live texts whose truth is known: what retraining learns from, and how many of them there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, func, select

from stores.predictions.schema import feedback, label_queue, predictions
from stores.predictions.store import PredictionStore


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text that was answered, with the label that is in force."""

    text: str
    label: str
    """What is true, not what was predicted."""
    created_at: float
    """When it was answered; seconds since the epoch, UTC."""
    weight: float = 1.0
    """How likely it belongs to an even sample of the traffic, at most 1: the label queue chose it so many times too
    readily. 1 where no queue chose it: nobody knows how likely it was to be labelled."""
    even_share: float = 1.0
    """Share of its batch of the queue that belongs to such a sample."""


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
    are left out: their text is gone. A prediction that several batches of the label queue chose has its weight from the
    first, which no later batch changes.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    rows = _rows(since, until, model_name, source).subquery("labelled")
    newest = rows.c.created_at.desc(), rows.c.id.desc()
    place = func.row_number().over(partition_by=rows.c.label, order_by=newest).label("place")
    ranked = select(rows, place).subquery("ranked")
    first = select(label_queue.c.prediction_id, func.min(label_queue.c.batch).label("batch"))
    chosen = first.group_by(label_queue.c.prediction_id).subquery("chosen")  # ids of batches sort by time
    inverse = 1.0 / label_queue.c.probability
    kinds = select(
        label_queue.c.batch,
        func.max(inverse).label("rarest"),
        (func.avg(inverse) / func.max(inverse)).label("even_share"),
    )
    batches = kinds.group_by(label_queue.c.batch).subquery("batches")
    own = and_(label_queue.c.prediction_id == ranked.c.id, label_queue.c.batch == chosen.c.batch)
    query = (
        select(
            ranked.c.text,
            ranked.c.label,
            ranked.c.created_at,
            func.coalesce(1.0 / label_queue.c.probability / batches.c.rarest, 1.0).label("weight"),
            func.coalesce(batches.c.even_share, 1.0).label("even_share"),
        )
        .select_from(ranked)
        .outerjoin(chosen, chosen.c.prediction_id == ranked.c.id)
        .outerjoin(label_queue, own)
        .outerjoin(batches, batches.c.batch == chosen.c.batch)
        .where(ranked.c.place <= per_label)
    )
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
