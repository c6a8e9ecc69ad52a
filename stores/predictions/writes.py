"""Writes of predictions and labels.

Predictions are added over one connection that stays open, because the service waits for the commit before each answer.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from sqlalchemy import Connection, Dialect, Engine, insert, select
from sqlalchemy.exc import DBAPIError

from stores.predictions.connections import Limits, check_files, deadline
from stores.predictions.schema import feedback, predictions
from stores.predictions.texts import storable


class Appender:
    """Commits rows of the table `predictions`, all of a call or none. Thread-safe: one call writes at a time.

    Its connection is kept: taking one from the pool and returning it is a third of the time of a single row (for
    PostgreSQL it also checks first that the server is there).
    """

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._insert: _SqliteInsert | None = None

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Commit rows: column → value.

        A connection that was lost since the last call is opened again, once. If it was lost during a commit that
        succeeded, the second try is refused, since ids are unique. A server that did not answer at all is not asked
        again.

        Raises:
            SQLAlchemyError: they were not written.
            PredictionStoreReplaced: the SQLite file was deleted or replaced.
        """
        with self._lock:
            began = time.monotonic()
            try:
                self._write(rows)
            except DBAPIError as error:
                if not error.connection_invalidated or time.monotonic() - began > self._limits.connect:
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
            limits, raw = self._limits, self._connection.connection.dbapi_connection
            if isinstance(raw, sqlite3.Connection):
                check_files(self._connection)  # before as well: what a deleted file's log gets can come back
                self._write_sqlite(raw, rows)
                check_files(self._connection)
                return
            with deadline(raw, limits.statement + limits.connect), self._connection.begin():
                self._connection.execute(insert(predictions), rows)
            check_files(self._connection)
        except BaseException:
            self._give_back()
            raise

    def _write_sqlite(self, raw: sqlite3.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert by the driver: SQLAlchemy's way to it takes as long as SQLite itself, and each answer waits for it."""
        if self._insert is None or self._insert.names != tuple(rows[0]):
            self._insert = _SqliteInsert(tuple(rows[0]), self._engine.dialect)
        try:
            raw.execute("BEGIN IMMEDIATE")
            self._insert.execute(raw, rows)
            raw.execute("COMMIT")
        except sqlite3.Error as error:
            raise DBAPIError.instance(
                self._insert.of_one_row,
                None,
                error,
                sqlite3.Error,
                hide_parameters=True,
                dialect=self._engine.dialect,
            ) from error

    def _give_back(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


_FEW_ROWS = 4
_ROWS_PER_STATEMENT = 200
"""SQLite takes 32,766 values in a statement."""


class _SqliteInsert:
    """The statement that inserts rows with these columns, and the conversion of their values."""

    def __init__(self, names: tuple[str, ...], dialect: Dialect) -> None:
        self.names = names
        columns = ", ".join(f'"{predictions.c[name].name}"' for name in names)
        self._row = f"({', '.join('?' * len(names))})"
        self._begin = f"INSERT INTO {predictions.name} ({columns}) VALUES "
        self.of_one_row = self._begin + self._row
        types = [predictions.c[name].type.dialect_impl(dialect) for name in names]
        self._processors = [
            (name, kind.bind_processor(dialect)) for name, kind in zip(names, types, strict=True)
        ]

    def execute(self, raw: sqlite3.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows, many with one statement.

        The driver gives up the interpreter lock for each row of `executemany`. A thread that computes in Python keeps
        the lock for the switch interval of 5 ms, so that commits would fall behind a busy model.
        """
        if len(rows) < _FEW_ROWS:
            raw.executemany(self.of_one_row, map(self.values, rows))
            return
        for start in range(0, len(rows), _ROWS_PER_STATEMENT):
            part = rows[start : start + _ROWS_PER_STATEMENT]
            statement = self._begin + ", ".join([self._row] * len(part))
            raw.execute(statement, list(chain.from_iterable(map(self.values, part))))

    def values(self, row: Mapping[str, Any]) -> list[Any]:
        """The values of a row in the order of the columns."""
        return [row[name] if process is None else process(row[name]) for name, process in self._processors]


_IDS_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class FeedbackResult:
    """The outcome of feedback."""

    accepted: int
    """Items whose prediction is known, repeated ones included."""
    unknown: list[str]
    """Ids of no prediction, in the order given."""


class Labelling:
    """Predictions that are held still in an open transaction while they are labelled.

    Their rows are locked in one order, so that two writers of the same label do not both find it missing. (SQLite has
    one writer at a time and ignores it.)
    """

    def __init__(self, connection: Connection, ids: Iterable[str], *, of_key: str | None = None) -> None:
        self._connection = connection
        self.known: dict[str, frozenset[str]] = {}
        """Id → the labels that its model can give, of the ids that have a prediction."""
        for part in _id_parts(sorted(id_ for id_ in ids if storable(id_) == id_)):
            query = select(predictions.c.id, predictions.c.scores).where(predictions.c.id.in_(part))
            if of_key is not None:
                query = query.where(predictions.c.key_name == of_key)
            for row in connection.execute(query.order_by(predictions.c.id).with_for_update()):
                self.known[row.id] = frozenset(row.scores)

    def give(
        self,
        labels: Mapping[str, str],
        *,
        source: str,
        key_name: str | None = None,
        at: float | None = None,
    ) -> None:
        """Note labels of known predictions, by id; others are passed over. `key_name`: the API key that gives them.

        A label that is already in force, and that the same source gave, is not written again; another one replaces it,
        and both stay in the history. From another source the same label is written: who reads labels may count one
        source and not the other.
        """
        at = time.time() if at is None else at
        current = self._in_force()
        new = [
            {
                "prediction_id": id_,
                "label": storable(label),
                "source": source,
                "key_name": key_name,
                "created_at": at,
            }
            for id_, label in labels.items()
            if id_ in self.known and current.get(id_) != (storable(label), source)
        ]
        if new:
            self._connection.execute(insert(feedback), new)

    def _in_force(self) -> dict[str, tuple[str, str]]:
        """Id of each known prediction that is labelled → its newest label, and that label's source."""
        labels: dict[str, tuple[str, str]] = {}
        for part in _id_parts(sorted(self.known)):
            query = (
                select(feedback.c.prediction_id, feedback.c.label, feedback.c.source)
                .where(feedback.c.prediction_id.in_(part))
                .order_by(feedback.c.id)  # so that the newest wins in the dictionary
            )
            found = self._connection.execute(query)
            labels.update({row.prediction_id: (row.label, row.source) for row in found})
        return labels


def _id_parts(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _IDS_PER_QUERY):
        yield ids[start : start + _IDS_PER_QUERY]
