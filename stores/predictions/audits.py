"""Audits of cascades: what all stages say of answers that an early stage gave."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import bindparam, select, update

from stores.predictions.filters import of_version
from stores.predictions.records import random_digits
from stores.predictions.schema import predictions
from stores.predictions.store import PredictionStore
from stores.predictions.texts import storable
from stores.sources import TRAFFIC


@dataclass(frozen=True, slots=True)
class AuditedAnswer:
    """An early answer whose text all stages classified later."""

    created_at: float
    """When it was answered; seconds since the epoch, UTC."""
    label: str
    """What was answered."""
    audited_label: str
    """What all stages say."""

    @property
    def agrees(self) -> bool:
        """Whether both are the same."""
        return self.label == self.audited_label


def add_audits(store: PredictionStore, labels: Mapping[str, str]) -> int:
    """Note what all stages say of predictions, by id, in one transaction; unknown ids are passed over.

    Returns:
        How many predictions were there.

    Raises:
        PredictionStoreError: nothing was written.
    """
    if not labels:
        return 0
    statement = update(predictions).where(predictions.c.id == bindparam("row"))
    statement = statement.values(audited_label=bindparam("audited"))
    with store.writing() as connection:
        return sum(
            connection.execute(statement, {"row": id_, "audited": storable(labels[id_])}).rowcount
            for id_ in sorted(labels)  # in one order, so that two writers do not wait for each other
        )


def audited_answers(
    store: PredictionStore,
    since: float,
    until: float,
    *,
    model_name: str,
    model_version: str,
    size: int,
    sources: Collection[str] = TRAFFIC,
) -> list[AuditedAnswer]:
    """At most `size` audited answers of `sources` with `since` <= created_at < `until`, spread evenly over them.

    The same ones at every call. No text is read.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    query = (
        select(predictions.c.created_at, predictions.c.label, predictions.c.audited_label)
        .where(
            *of_version(since, until, model_name, model_version, sources),
            predictions.c.audited_label.is_not(None),
        )
        .order_by(random_digits, predictions.c.id)
        .limit(size)
    )
    with store.reading() as connection:
        return [AuditedAnswer(**row._mapping) for row in connection.execute(query)]
