"""Writing labels: what is known of the predictions they are for, and all of them or none."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from stores.predictions.schema import feedback, predictions
from stores.predictions.storable import storable

_IDS_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class FeedbackResult:
    """What became of feedback."""

    accepted: int
    """Items whose prediction is known, repeated ones included."""
    unknown: list[str]
    """Ids of no prediction, in the order given."""


class Labelling:
    """Predictions that are held still in an open transaction while they are labelled.

    Their rows are locked in one order, so that two writers of the same label do not both find it missing. (SQLite has
    one writer at a time and ignores it.)
    """

    def __init__(self, connection: Connection, ids: Iterable[str]) -> None:
        self._connection = connection
        self.known: dict[str, frozenset[str]] = {}
        """Those of the ids that stand for a prediction → the labels that its model can give."""
        for part in _parts(sorted(id_ for id_ in ids if storable(id_) == id_)):
            query = select(predictions.c.id, predictions.c.scores).where(predictions.c.id.in_(part))
            for row in connection.execute(query.order_by(predictions.c.id).with_for_update()):
                self.known[row.id] = frozenset(row.scores)

    def give(self, labels: Mapping[str, str], *, source: str, at: float | None = None) -> None:
        """Note labels of known predictions, by id; others are passed over.

        A label that is already in force is not written again; another one replaces it, and both stay in the history.
        """
        at = time.time() if at is None else at
        current = self._in_force()
        new = [
            {"prediction_id": id_, "label": storable(label), "source": source, "created_at": at}
            for id_, label in labels.items()
            if id_ in self.known and current.get(id_) != storable(label)
        ]
        if new:
            self._connection.execute(insert(feedback), new)

    def _in_force(self) -> dict[str, str]:
        labels: dict[str, str] = {}
        for part in _parts(sorted(self.known)):
            query = (
                select(feedback.c.prediction_id, feedback.c.label)
                .where(feedback.c.prediction_id.in_(part))
                .order_by(feedback.c.id)  # so that the newest wins in the dictionary
            )
            labels.update({row.prediction_id: row.label for row in self._connection.execute(query)})
        return labels


def _parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _IDS_PER_QUERY):
        yield ids[start : start + _IDS_PER_QUERY]
