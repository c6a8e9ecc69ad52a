"""Statistics of a model version's traffic: its start, latencies, and predictions by source."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select

from stores.predictions.filters import of_sources, of_version
from stores.predictions.records import random_digits
from stores.predictions.schema import predictions
from stores.predictions.store import PredictionStore
from stores.sources import TRAFFIC


def first_prediction(
    store: PredictionStore, *, model_name: str, model_version: str, sources: Collection[str] = TRAFFIC
) -> float | None:
    """Time of the first prediction of a version from `sources` that the store still has, or None.

    Seconds since the epoch, UTC.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    query = select(func.min(predictions.c.created_at)).where(
        predictions.c.model_name == model_name,
        predictions.c.model_version == model_version,
        *of_sources(sources),
    )
    with store.reading() as connection:
        found = connection.execute(query).scalar_one()
    return None if found is None else float(found)


def latencies(
    store: PredictionStore,
    since: float,
    until: float,
    *,
    model_name: str,
    model_version: str,
    size: int,
    sources: Collection[str] = TRAFFIC,
) -> list[tuple[float, float]]:
    """When an answer was given (seconds since the epoch) and how many seconds it took.

    At most `size` of the predictions of `sources` with `since` <= created_at < `until` of which this is known, spread
    evenly over them; the same ones at every call.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    query = (
        select(predictions.c.created_at, predictions.c.seconds)
        .where(
            *of_version(since, until, model_name, model_version, sources),
            predictions.c.seconds.is_not(None),
        )
        .order_by(random_digits, predictions.c.id)
        .limit(size)
    )
    with store.reading() as connection:
        return [(row.created_at, row.seconds) for row in connection.execute(query)]


MOST_SOURCES = 50
"""Sources of a model that are looked at, in alphabetical order: clients choose the names."""


@dataclass(frozen=True, slots=True)
class SourceCount:
    """The predictions of one source."""

    source: str
    predictions: int
    labelled: int
    """Those with a label that counts for this source (`stores.sources.label_sources`)."""
    correct: int
    """Of these, the ones whose label is the predicted one."""


def count_by_source(
    store: PredictionStore,
    since: float,
    until: float,
    *,
    model_name: str,
    model_version: str,
    leave_out: Collection[str] = (),
) -> list[SourceCount]:
    """The sources with predictions at `since` <= created_at < `until`, but for those to leave out, by name.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    found = []
    for source in _sources(store, model_name):
        if source in leave_out:
            continue
        of_model = {"model_name": model_name, "model_version": model_version}
        count = store.count(since, until, sources=[source], **of_model)
        if count:
            outcomes = store.outcomes(since, until, sources=[source], **of_model)
            labelled = sum(outcome.count for outcome in outcomes)
            correct = sum(outcome.count for outcome in outcomes if outcome.label == outcome.true_label)
            found.append(SourceCount(source, count, labelled, correct))
    return found


def _sources(store: PredictionStore, model_name: str) -> list[str]:
    """Every source of a model, by name, at most MOST_SOURCES of them.

    One step in the index a source: `SELECT DISTINCT` would read the model's whole history.
    """
    names: list[str] = []
    with store.reading() as connection:
        while len(names) < MOST_SOURCES:
            query = select(func.min(predictions.c.source)).where(predictions.c.model_name == model_name)
            if names:
                query = query.where(predictions.c.source > names[-1])
            name = connection.execute(query).scalar_one()
            if name is None:
                break
            names.append(str(name))
    return names
