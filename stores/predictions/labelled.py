"""Live texts whose truth is known: what retraining learns from, and how many of them there are."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, func, select

from stores.predictions.filters import characters_each, label_in_force, of_sources, text_up_to
from stores.predictions.schema import feedback, label_queue, predictions
from stores.predictions.store import PredictionStore
from stores.predictions.texts import MEASURED_CHARACTERS
from stores.sources import TRAFFIC

LIVE_CHARACTERS = 100_000
"""Characters of a live text that are learned from; no model reads more."""
_DIFFERENT = func.coalesce(predictions.c.text_hash, text_up_to(MEASURED_CHARACTERS))
"""Columns that distinguish texts without reading them whole."""


@dataclass(frozen=True, slots=True)
class LabelledText:
    """A text that was answered, with the label that is in force."""

    text: str
    label: str
    """What is true, not what was predicted."""
    created_at: float
    """When it was answered; seconds since the epoch, UTC."""
    weight: float = 1.0
    """Probability that it belongs to an even sample of the traffic: the inverse of how much the label queue
    over-represents it. 1 where no queue chose it: the probability of its label is unknown."""
    even_share: float = 1.0
    """Share of its batch of the queue that belongs to such a sample."""
    cut: bool = False
    """Whether the text is longer than what was read of it."""


def labelled_texts(
    store: PredictionStore,
    since: float,
    until: float,
    *,
    model_name: str,
    per_label: int,
    sources: Collection[str] = TRAFFIC,
) -> list[LabelledText]:
    """Labelled texts with `since` <= created_at < `until`, of every version of the model, newest first.

    Predictions of `sources` only, and labels that count for them (`stores.sources.label_sources`).

    The newest `per_label` of each label are read, and at most LIVE_CHARACTERS of each text, so that memory does not
    grow with the store or with its texts. Redacted predictions are left out: their text was removed. A prediction that
    several batches of the label queue chose has its weight from the first, which no later batch changes.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    rows = _rows(since, until, model_name, sources).subquery("labelled")
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
        count = select(func.count()).select_from(ranked).where(ranked.c.place <= per_label)
        characters = characters_each(int(connection.execute(count).scalar_one()), LIVE_CHARACTERS)
        text = func.substr(predictions.c.text, 1, characters + 1).label("text")
        query = query.add_columns(text).join(predictions, predictions.c.id == ranked.c.id)
        found = connection.execute(query.order_by(ranked.c.created_at.desc(), ranked.c.id.desc()))
        return [_up_to(characters, dict(row._mapping)) for row in found]


def _up_to(characters: int, values: dict[str, Any]) -> LabelledText:
    text = values.pop("text")
    return LabelledText(text[:characters], cut=len(text) > characters, **values)


def count_labelled_texts(
    store: PredictionStore,
    since: float,
    until: float,
    *,
    model_name: str,
    sources: Collection[str] = TRAFFIC,
) -> int:
    """How many different texts `labelled_texts` could find; a text that was sent twice counts once.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    rows = _rows(since, until, model_name, sources).subquery("labelled")
    with store.reading() as connection:
        return int(connection.execute(select(func.count(rows.c.different.distinct()))).scalar_one())


def count_labelled_without_text(
    store: PredictionStore,
    since: float,
    until: float,
    *,
    model_name: str,
    sources: Collection[str] = TRAFFIC,
) -> int:
    """How many labelled predictions cannot be learned from because their text was not stored, or was removed.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    rows = _rows(since, until, model_name, sources, readable=False).subquery("labelled")
    with store.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(rows)).scalar_one())


def _rows(
    since: float, until: float, model_name: str, sources: Collection[str], *, readable: bool = True
) -> Select[Any]:
    return (
        select(predictions.c.id, predictions.c.created_at, feedback.c.label, _DIFFERENT.label("different"))
        .select_from(predictions.join(feedback, feedback.c.id == label_in_force(sources)))
        .where(
            predictions.c.created_at >= since,
            predictions.c.created_at < until,
            *of_sources(sources),
            predictions.c.model_name == model_name,
            predictions.c.redacted_at.is_(None) if readable else predictions.c.redacted_at.is_not(None),
        )
    )
