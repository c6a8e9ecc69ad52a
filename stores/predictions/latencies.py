"""How long the service took for its answers: two numbers a prediction, without its text."""

from __future__ import annotations

from sqlalchemy import select

from stores.predictions.schema import predictions
from stores.predictions.store import PredictionStore, random_digits


def latencies(
    store: PredictionStore,
    since: float,
    until: float,
    *,
    model_name: str,
    model_version: str,
    size: int,
    source: str = "live",
) -> list[tuple[float, float]]:
    """When an answer was given (seconds since the epoch) and how many seconds it took.

    At most `size` of the predictions with `since` <= created_at < `until` of which this is known, spread evenly over
    them; the same ones at every call.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    query = (
        select(predictions.c.created_at, predictions.c.seconds)
        .where(
            predictions.c.created_at >= since,
            predictions.c.created_at < until,
            predictions.c.source == source,
            predictions.c.model_name == model_name,
            predictions.c.model_version == model_version,
            predictions.c.seconds.is_not(None),
        )
        .order_by(random_digits, predictions.c.id)
        .limit(size)
    )
    with store.reading() as connection:
        return [(row.created_at, row.seconds) for row in connection.execute(query)]
