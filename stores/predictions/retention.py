"""Retention: old predictions are deleted, thinned out, or kept without their text, in batches beside other writers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    update,
)

from stores.predictions.erasure import bury_contents
from stores.predictions.records import RANDOM_DIGITS, random_digits
from stores.predictions.redaction import KEYED_PREFIX
from stores.predictions.schema import feedback, label_batches, label_queue, predictions
from stores.predictions.store import PredictionStore

BATCH = 500
"""Predictions of one transaction: other writers wait for one at most."""
_LONGEST_PAUSE = 1.0


@dataclass(frozen=True, slots=True)
class Policy:
    """What is forgotten; None leaves a rule out. Moments are seconds since the epoch."""

    delete_before: float | None = None
    """Older predictions are deleted."""
    keep_rows: int | None = None
    """Maximum number; the oldest beyond it are deleted."""
    thin_before: float | None = None
    """Share of older predictions that is kept, of those neither labelled nor queued for a label."""
    thin_to: float = 1.0
    """That share; the same ones at every call."""
    redact_before: float | None = None
    """Older predictions lose their text; label, scores and token count stay."""


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many predictions each rule met; none is counted twice."""

    too_old: int = 0
    too_many: int = 0
    thinned: int = 0
    redacted: int = 0


class Retention:
    """Forgetting in a prediction store. Every method raises PredictionStoreError when the database cannot.

    Each batch is a separate transaction: after a failure the next call continues.
    """

    def __init__(self, store: PredictionStore, policy: Policy) -> None:
        self._store = store
        self._policy = policy

    def would_forget(self) -> Forgotten:
        """What `forget` would do now; nothing is written."""
        counts: dict[str, int] = {}
        before: list[ColumnElement[bool]] = []
        with self._store.reading() as connection:
            for name, rule in self._rules(connection).items():
                query = select(func.count()).select_from(predictions)
                query = query.where(rule, *(not_(earlier) for earlier in before))
                counts[name] = int(connection.execute(query).scalar_one())
                before.append(rule)
        return Forgotten(**counts)

    def forget(self, replacement: Callable[[str], str], *, now: float) -> Forgotten:
        """Do what the policy says.

        Args:
            replacement: text → what is kept of it: nothing, or a hash.
            now: noted with redacted predictions.
        """
        with self._store.reading() as connection:
            rules = self._rules(connection)
        counts = {
            name: self._in_batches(rule, lambda connection, rows: _redact(connection, rows, replacement, now))
            if name == "redacted"
            else self._in_batches(rule, _delete)
            for name, rule in rules.items()
        }
        with self._store.writing() as connection:
            chosen = exists().where(label_queue.c.batch == label_batches.c.id)
            connection.execute(delete(label_batches).where(not_(chosen)))
        self._give_room_back()
        return Forgotten(**counts)

    def _rules(self, connection: Connection) -> dict[str, ColumnElement[bool]]:
        policy, created = self._policy, predictions.c.created_at
        rules: dict[str, ColumnElement[bool]] = {}
        if policy.delete_before is not None:
            rules["too_old"] = created < policy.delete_before
        if policy.keep_rows is not None:
            order = created.desc(), predictions.c.id.desc()
            first_kept = (
                select(created, predictions.c.id).order_by(*order).offset(policy.keep_rows - 1).limit(1)
            )
            if (row := connection.execute(first_kept).first()) is not None:
                rules["too_many"] = or_(
                    created < row.created_at, and_(created == row.created_at, predictions.c.id < row.id)
                )
        if policy.thin_before is not None:
            kept = (
                f"{min(round(policy.thin_to * 16**RANDOM_DIGITS), 16**RANDOM_DIGITS - 1):0{RANDOM_DIGITS}x}"
            )
            rules["thinned"] = and_(
                created < policy.thin_before,
                random_digits >= kept,
                not_(exists().where(feedback.c.prediction_id == predictions.c.id)),
                not_(exists().where(label_queue.c.prediction_id == predictions.c.id)),
            )
        if policy.redact_before is not None:
            rules["redacted"] = and_(created < policy.redact_before, predictions.c.redacted_at.is_(None))
        return rules

    def _in_batches(self, rule: ColumnElement[bool], act: Callable[[Connection, Sequence[Any]], None]) -> int:
        met, reached = 0, float("-inf")
        query = select(predictions.c.id, predictions.c.created_at).where(rule)
        query = query.order_by(predictions.c.created_at).limit(BATCH).with_for_update(skip_locked=True)
        while True:
            began = time.monotonic()
            with self._store.writing() as connection:
                if connection.dialect.name == "sqlite":
                    # What is deleted is overwritten; else it could be read from the file until the place is reused.
                    connection.exec_driver_sql("PRAGMA secure_delete=ON")
                rows = connection.execute(query.where(predictions.c.created_at >= reached)).all()
                if rows:
                    act(connection, rows)
            met += len(rows)
            if len(rows) < BATCH:
                return met
            reached = rows[-1].created_at
            # Half of the time belongs to the others: SQLite has no queue of writers.
            time.sleep(min(time.monotonic() - began, _LONGEST_PAUSE))

    def _give_room_back(self) -> None:
        if self._store.engine.dialect.name == "sqlite":
            # The log of writes still holds what the pages held: begun anew, unless somebody is reading it.
            with self._store.reading() as connection:
                connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _delete(connection: Connection, rows: Sequence[Any]) -> None:
    _bury_labelled(connection, rows)
    connection.execute(delete(predictions).where(predictions.c.id.in_([row.id for row in rows])))


def _redact(
    connection: Connection, rows: Sequence[Any], replacement: Callable[[str], str], now: float
) -> None:
    statement = update(predictions).where(predictions.c.id == bindparam("row"))
    statement = statement.values(text=bindparam("left"), text_hash=bindparam("hash"), redacted_at=now)
    _bury_labelled(connection, rows)
    for row in rows:  # one text in memory at a time: they may be large
        text = connection.execute(select(predictions.c.text).where(predictions.c.id == row.id)).scalar_one()
        left = replacement(text)
        values = {"row": row.id, "left": left, "hash": left.removeprefix(KEYED_PREFIX) or None}
        connection.execute(statement, values)


def _bury_labelled(connection: Connection, rows: Sequence[Any]) -> None:
    """Note the texts that a training may have learned from: those with a label."""
    labelled = select(feedback.c.prediction_id).where(feedback.c.prediction_id.in_([row.id for row in rows]))
    bury_contents(connection, list(connection.execute(labelled.distinct()).scalars()), time.time())
