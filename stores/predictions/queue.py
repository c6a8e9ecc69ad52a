"""What was handed out to be labelled, with the probability that it was chosen: what makes accuracy correctable."""

from __future__ import annotations

import secrets
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy import func, insert, select

from stores.predictions.filters import label_in_force, of_sources
from stores.predictions.schema import feedback, label_batches, label_queue, predictions
from stores.predictions.store import PredictionStore
from stores.sources import TRAFFIC, label_sources

_IDS_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class Chosen:
    """A prediction that was chosen."""

    prediction_id: str
    probability: float
    """Of being chosen for this batch, over all predictions of its window; more than 0."""
    reason: str
    """`uncertain`, `new` or `random`: what it owes most of its probability to."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One draw, from the live predictions of one version in one window."""

    model_name: str
    model_version: str
    since: float
    until: float
    predictions: int
    """How many there were to choose from."""
    queued_at: float = field(default_factory=time.time)
    id: str = field(default_factory=lambda: f"{time.time_ns():016x}{secrets.token_hex(8)}")


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the labelling of a batch has come."""

    batch: Batch
    chosen: int
    labelled: int


@dataclass(frozen=True, slots=True)
class QueuedOutcome:
    """A chosen prediction whose truth is known; one that several batches chose comes once for each."""

    batch: str
    probability: float
    created_at: float
    """Of the prediction."""
    label: str
    true_label: str


class LabelQueue:
    """The label queue in a prediction store. Every method raises PredictionStoreError when the database cannot."""

    def __init__(self, store: PredictionStore) -> None:
        self._store = store

    def add(self, batch: Batch, chosen: Sequence[Chosen]) -> None:
        """Keep a batch, in one transaction."""
        values = {name: getattr(batch, name) for name in batch.__slots__}
        rows = [
            {
                "batch": batch.id,
                "prediction_id": c.prediction_id,
                "probability": c.probability,
                "reason": c.reason,
            }
            for c in chosen
        ]
        with self._store.writing() as connection:
            connection.execute(insert(label_batches), values)
            if rows:
                connection.execute(insert(label_queue), rows)

    def progress(
        self,
        since: float,
        until: float,
        *,
        model_name: str,
        model_version: str,
        sources: Collection[str] = TRAFFIC,
    ) -> list[Progress]:
        """The batches that were drawn from a window which overlaps this one, the oldest first.

        A label counts if it counts for predictions of `sources`; here and in `outcomes`.
        """
        labelled = (
            select(feedback.c.id)
            .where(
                feedback.c.prediction_id == label_queue.c.prediction_id,
                feedback.c.source.in_(sorted(label_sources(sources))),
            )
            .exists()
        )
        query = (
            select(
                label_batches,
                func.count(label_queue.c.prediction_id).label("chosen"),
                func.count(label_queue.c.prediction_id).filter(labelled).label("labelled"),
            )
            .join(label_queue, label_queue.c.batch == label_batches.c.id)
            .where(
                label_batches.c.model_name == model_name,
                label_batches.c.model_version == model_version,
                label_batches.c.since < until,
                label_batches.c.until > since,
            )
            .group_by(*label_batches.c)
            .order_by(label_batches.c.queued_at, label_batches.c.id)
        )
        with self._store.reading() as connection:
            found = [row._mapping for row in connection.execute(query)]
        return [
            Progress(Batch(**{name: row[name] for name in Batch.__slots__}), row["chosen"], row["labelled"])
            for row in found
        ]

    def outcomes(
        self, batches: Collection[str], since: float, until: float, *, sources: Collection[str] = TRAFFIC
    ) -> list[QueuedOutcome]:
        """What is known of the chosen predictions of these batches that stand in a window."""
        query = (
            select(
                label_queue.c.batch,
                label_queue.c.probability,
                predictions.c.created_at,
                predictions.c.label,
                feedback.c.label.label("true_label"),
            )
            .join(predictions, predictions.c.id == label_queue.c.prediction_id)
            .join(feedback, feedback.c.id == label_in_force(sources))
            .where(
                label_queue.c.batch.in_(batches),
                *of_sources(sources),
                predictions.c.created_at >= since,
                predictions.c.created_at < until,
            )
            .order_by(label_queue.c.batch, predictions.c.id)
        )
        with self._store.reading() as connection:
            return [QueuedOutcome(**row._mapping) for row in connection.execute(query)]

    def copies(self, ids: Sequence[str]) -> dict[str, set[str]]:
        """Chosen predictions among `ids` → those that were chosen with them in the same batch and have the same text,
        themselves included. Ids that were never chosen are missing."""
        found: dict[str, set[str]] = {}
        mine, theirs = label_queue.alias("mine"), label_queue.alias("theirs")
        own, other = predictions.alias("own"), predictions.alias("other")
        query = (
            select(mine.c.prediction_id, theirs.c.prediction_id)
            .join(own, own.c.id == mine.c.prediction_id)
            .join(theirs, theirs.c.batch == mine.c.batch)
            .join(other, other.c.id == theirs.c.prediction_id)
            .where((other.c.text == own.c.text) & own.c.redacted_at.is_(None) | (other.c.id == own.c.id))
        )
        with self._store.reading() as connection:
            for start in range(0, len(ids), _IDS_PER_QUERY):
                part = query.where(mine.c.prediction_id.in_(ids[start : start + _IDS_PER_QUERY]))
                for chosen, copy in connection.execute(part):
                    found.setdefault(chosen, set()).add(copy)
        return found
