"""Windows of live texts that people accepted as part of the reference of a model version: which, by whom and when.

The texts themselves stay predictions of the store, so that retention and erasure reach them.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import Row, insert, select, update

from stores.predictions.schema import PERSON_LENGTH, accepted_windows
from stores.predictions.store import PredictionStore
from stores.predictions.texts import storable


@dataclass(frozen=True, slots=True)
class AcceptedWindow:
    """A window, accepted by a person."""

    model_name: str
    model_version: str
    since: float
    """Seconds since the epoch; the window begins with it."""
    until: float
    """The window ends before it."""
    weekly: bool
    """Whether it describes the same time of every week only."""
    texts: int
    """Different texts that it had when it was accepted."""
    accepted_by: str
    accepted_at: float = field(default_factory=time.time)
    revoked_at: float | None = None
    revoked_by: str | None = None
    id: int = 0


class AcceptedWindows:
    """The accepted windows in a prediction store; every method raises PredictionStoreError when the database cannot."""

    def __init__(self, store: PredictionStore) -> None:
        self._store = store

    def add(self, window: AcceptedWindow) -> int:
        """Keep a window; its id."""
        values = asdict(window) | {"accepted_by": _name(window.accepted_by)}
        del values["id"]
        with self._store.writing() as connection:
            key = connection.execute(insert(accepted_windows), values).inserted_primary_key
        assert key is not None
        return int(key[0])

    def of_model(self, model_name: str) -> list[AcceptedWindow]:
        """All windows of a model, revoked ones too, the oldest acceptance first."""
        query = select(accepted_windows).where(accepted_windows.c.model_name == model_name)
        with self._store.reading() as connection:
            return [_window(row) for row in connection.execute(query.order_by(accepted_windows.c.id))]

    def in_force(self, model_name: str, model_version: str) -> list[AcceptedWindow]:
        """Windows of a version that are not revoked, the oldest acceptance first."""
        return [
            window
            for window in self.of_model(model_name)
            if window.model_version == model_version and window.revoked_at is None
        ]

    def revoke(self, id_: int, model_name: str, *, by: str, at: float) -> bool:
        """Take an acceptance back; False: the model has no window of this id that is in force."""
        query = update(accepted_windows).where(
            accepted_windows.c.id == id_,
            accepted_windows.c.model_name == model_name,
            accepted_windows.c.revoked_at.is_(None),
        )
        with self._store.writing() as connection:
            return connection.execute(query.values(revoked_at=at, revoked_by=_name(by))).rowcount > 0


def _name(person: str) -> str:
    return storable(person)[:PERSON_LENGTH]


def _window(row: Row[Any]) -> AcceptedWindow:
    return AcceptedWindow(**row._mapping)
