"""Erasing predictions for good, by id or by text: the rows, their labels and places in the label queue, and tombstones.

What was made from a text elsewhere (the spool, reference profiles, reports) is found by the tombstones.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, exists, func, not_, select

from stores.predictions.redaction import KEYED_PREFIX, masked
from stores.predictions.schema import label_batches, label_queue, predictions
from stores.predictions.store import PredictionStore
from stores.predictions.texts import keyed_hash, sha256_of_text, storable
from stores.predictions.tombstones import CONTENT, ID, MOMENT, TEXT, bury, bury_texts, store_key

_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure met."""

    ids: list[str]
    """Predictions that were erased."""
    unknown: list[str]
    """Ids of no prediction, in the order given."""
    unreadable: int = 0
    """Predictions of which neither text nor hash is kept, so that no text finds them; their ids do."""


def erase_predictions(
    store: PredictionStore, ids: Sequence[str], *, of_key: str | None = None, at: float | None = None
) -> Erased:
    """Erase predictions by id, in one transaction.

    Args:
        store: where they are.
        ids: of predictions.
        of_key: erase those only whose request had the API key of this name; others count as unknown. None: all.
        at: noted with the tombstones; None: now.

    Raises:
        PredictionStoreError: nothing was erased.
    """
    wanted = [id_ for id_ in dict.fromkeys(ids) if storable(id_) == id_]
    with store.writing() as connection:
        found = _existing(connection, wanted, of_key)
        _erase(connection, found, time.time() if at is None else at, kind=CONTENT)
    _overwrite(store)
    known = set(found)
    return Erased(found, [id_ for id_ in ids if id_ not in known])


def erase_texts(
    store: PredictionStore,
    *,
    texts: Sequence[str] = (),
    hashes: Sequence[str] = (),
    keys: Sequence[str] = (),
    at: float | None = None,
) -> Erased:
    """Erase every prediction of some texts, in one transaction; texts that come later are kept again.

    Args:
        store: where they are.
        texts: as they were sent.
        hashes: SHA-256 of texts in UTF-8, or values of the column `text_hash`, in hexadecimal.
        keys: RETENTION_HASH_KEY, where it is set or was.
        at: noted with the tombstones; None: now.

    Raises:
        PredictionStoreError: nothing was erased.
    """
    at = time.time() if at is None else at
    with store.writing() as connection:
        digests = {*(value.lower() for value in hashes)}
        for text in texts:
            # As it was sent, as training strips it, and as it is stored with personal data masked.
            digests |= {
                sha256_of_text(form) for form in (text, text.strip(), masked(text), masked(text).strip())
            }
        every = [store_key(connection), *keys]
        possible = sorted({*digests, *(keyed_hash(digest, key) for digest in digests for key in every)})
        found = [
            id_
            for start in range(0, len(possible), _PER_QUERY)
            for id_ in connection.execute(
                select(predictions.c.id).where(
                    predictions.c.text_hash.in_(possible[start : start + _PER_QUERY])
                )
            ).scalars()
        ]
        found += _without_hash(connection, set(possible))
        _erase(connection, list(dict.fromkeys(found)), at, kind=TEXT)
        bury_texts(connection, TEXT, possible, at)
        nothing_kept = predictions.c.text_hash.is_(None) & predictions.c.redacted_at.is_not(None)
        count = select(func.count()).select_from(predictions).where(nothing_kept)
        unreadable = int(connection.execute(count).scalar_one())
    _overwrite(store)
    return Erased(list(dict.fromkeys(found)), [], unreadable)


def bury_contents(connection: Connection, ids: Sequence[str], at: float, *, kind: str = CONTENT) -> None:
    """Note that the texts of predictions must not be used any more, where anything of them is kept."""
    hashes = []
    for id_ in ids:  # one text in memory at a time: they may be large
        row = connection.execute(
            select(predictions.c.text_hash, predictions.c.redacted_at, predictions.c.text).where(
                predictions.c.id == id_
            )
        ).one()
        if row.redacted_at is None:
            hashes += [sha256_of_text(row.text), sha256_of_text(row.text.strip())]
        if row.text_hash is not None:
            hashes.append(row.text_hash)
    bury_texts(connection, kind, hashes, at)


def _existing(connection: Connection, ids: Sequence[str], of_key: str | None) -> list[str]:
    found: list[str] = []
    for start in range(0, len(ids), _PER_QUERY):
        query = select(predictions.c.id).where(predictions.c.id.in_(ids[start : start + _PER_QUERY]))
        if of_key is not None:
            query = query.where(predictions.c.key_name == of_key)
        found += connection.execute(query.order_by(predictions.c.id).with_for_update()).scalars()
    return found


def _without_hash(connection: Connection, possible: set[str]) -> list[str]:
    """Predictions of older releases, which kept no hash: their texts are hashed one after the other."""
    query = select(predictions.c.id).where(predictions.c.text_hash.is_(None), predictions.c.text != "")
    found = []
    for id_ in connection.execute(query).scalars().all():
        text = connection.execute(select(predictions.c.text).where(predictions.c.id == id_)).scalar_one()
        if text.removeprefix(KEYED_PREFIX) in possible or sha256_of_text(text) in possible:
            found.append(id_)
    return found


def _erase(connection: Connection, ids: list[str], at: float, *, kind: str) -> None:
    if connection.dialect.name == "sqlite":
        # What is deleted is overwritten; else it could be read from the file until the place is reused.
        connection.exec_driver_sql("PRAGMA secure_delete=ON")
    bury_contents(connection, ids, at, kind=kind)
    bury(connection, ID, ids, at)
    for start in range(0, len(ids), _PER_QUERY):
        query = select(predictions.c.created_at).where(predictions.c.id.in_(ids[start : start + _PER_QUERY]))
        bury(connection, MOMENT, map(repr, connection.execute(query).scalars()), at)
    for start in range(0, len(ids), _PER_QUERY):
        connection.execute(delete(predictions).where(predictions.c.id.in_(ids[start : start + _PER_QUERY])))
    chosen = exists().where(label_queue.c.batch == label_batches.c.id)
    connection.execute(delete(label_batches).where(not_(chosen)))


def _overwrite(store: PredictionStore) -> None:
    """Begin SQLite's log of writes anew, which still holds what the pages held, unless somebody reads it."""
    if store.engine.dialect.name == "sqlite":
        with store.reading() as connection:
            connection.connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
