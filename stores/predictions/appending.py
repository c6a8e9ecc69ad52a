"""Adding predictions over one connection that stays open: the service waits for this before each answer."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, insert
from sqlalchemy.exc import DBAPIError

from stores.predictions.schema import predictions


class Appender:
    """Commits rows of the table `predictions`, all of a call or none. Thread-safe: one call writes at a time.

    Its connection is kept, because taking one from the pool and giving it back is a third of the time that a single row
    takes (for PostgreSQL it also asks the server first whether it is there).
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: Connection | None = None

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Commit rows: column → value.

        A connection that was lost since the last call is opened again, once. If it was lost while a commit was on its
        way, the second try is refused where the first was heard: ids are unique.

        Raises:
            SQLAlchemyError: they were not written.
        """
        with self._lock:
            try:
                self._write(rows)
            except DBAPIError as error:
                if not error.connection_invalidated:
                    raise
                self._write(rows)

    def close(self) -> None:
        """Give the connection back; the next `append` takes another."""
        with self._lock:
            self._give_back()

    def _write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        if self._connection is None:
            self._connection = self._engine.connect().execution_options(write=True)
        try:
            with self._connection.begin():
                self._connection.execute(insert(predictions), rows)
        except BaseException:
            self._give_back()
            raise

    def _give_back(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
