"""Tombstones: what was erased, by which the spool, the next training and monitoring's reference know it.

A tombstone of a text is a keyed hash: its key is the one that the store keeps, whatever RETENTION_HASH_KEY is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Connection, insert, select, update

from stores.predictions.schema import secrets, tombstones
from stores.predictions.texts import keyed_hash, sha256_of_text

if TYPE_CHECKING:
    from stores.predictions.records import Prediction

ID, MOMENT, TEXT, CONTENT = "id", "moment", "text", "content"
"""A prediction; when one was answered, by which the reports of its window are found; a text in every prediction of it;
a text whose prediction was erased or pruned, and which must not be learned from or compared with any more, though other
predictions of the same text may stay."""
_PER_QUERY = 500


def store_key(connection: Connection) -> str:
    """The key that the store keeps for hashes of texts."""
    return str(connection.execute(select(secrets.c.value).where(secrets.c.name == "text_hash")).scalar_one())


def bury(connection: Connection, kind: str, values: Iterable[str], at: float) -> None:
    """Note that ids (`ID`) or the keyed hashes of texts (`TEXT`) were erased; again, with the later time."""
    wanted = list(dict.fromkeys(values))
    known = buried(connection, kind, wanted)
    for value in wanted:
        if value in known:
            row = (tombstones.c.kind == kind) & (tombstones.c.value == value)
            connection.execute(update(tombstones).where(row).values(erased_at=max(at, known[value])))
        else:
            connection.execute(insert(tombstones).values(kind=kind, value=value, erased_at=at))


def buried(connection: Connection, kind: str, values: Sequence[str]) -> dict[str, float]:
    """Those of the values that were erased → when."""
    found: dict[str, float] = {}
    for start in range(0, len(values), _PER_QUERY):
        part = values[start : start + _PER_QUERY]
        query = select(tombstones.c.value, tombstones.c.erased_at).where(
            tombstones.c.kind == kind, tombstones.c.value.in_(part)
        )
        found.update((row.value, row.erased_at) for row in connection.execute(query))
    return found


def bury_texts(connection: Connection, kind: str, hashes: Iterable[str], at: float) -> None:
    """Note the texts with these values of `predictions.text_hash`, or these SHA-256, as erased."""
    key = store_key(connection)
    bury(connection, kind, (keyed_hash(value, key) for value in hashes), at)


def erased_texts(connection: Connection, texts: Sequence[str]) -> frozenset[int]:
    """Places of those texts that must not be used any more: erased, or pruned after they were labelled."""
    if connection.execute(select(tombstones.c.value).where(tombstones.c.kind != ID).limit(1)).first() is None:
        return frozenset()
    key = store_key(connection)
    hashes = [keyed_hash(sha256_of_text(text), key) for text in texts]
    distinct = list(dict.fromkeys(hashes))
    found = buried(connection, TEXT, distinct).keys() | buried(connection, CONTENT, distinct).keys()
    return frozenset(place for place, value in enumerate(hashes) if value in found)


def erased_moments(connection: Connection) -> list[float]:
    """When the erased predictions were answered; seconds since the epoch, sorted."""
    values = connection.execute(select(tombstones.c.value).where(tombstones.c.kind == MOMENT)).scalars()
    return sorted(map(float, values))


def erased_ids(connection: Connection, rows: Sequence[Prediction]) -> frozenset[str]:
    """Ids of the rows that were erased, or whose text was, after they were answered."""
    by_id = buried(connection, ID, [row.id for row in rows])
    key = store_key(connection)
    hashes = {row.id: keyed_hash(row.text_hash, key) for row in rows if row.text_hash}
    by_text = buried(connection, TEXT, list(set(hashes.values())))
    return frozenset(
        row.id
        for row in rows
        if row.id in by_id or by_text.get(hashes.get(row.id, ""), float("-inf")) >= row.created_at
    )
