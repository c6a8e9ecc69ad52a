"""`PredictionStore`: writes predictions and feedback, reads windows of them."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, Select, Table, func, select
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import DataError

from stores.errors import PredictionStoreReplaced
from stores.predictions.connections import (
    Limits,
    check_files,
    deadline,
    forget_files,
    migrate,
    new_engine,
    translated,
)
from stores.predictions.filters import characters_each, label_in_force, of_sources, text_up_to
from stores.predictions.records import (
    RANDOM_DIGITS,
    LabelledPrediction,
    Outcome,
    Prediction,
    columns_of,
    random_digits,
)
from stores.predictions.schema import feedback, predictions
from stores.predictions.schema import secrets as stored_secrets
from stores.predictions.texts import storable
from stores.predictions.tombstones import erased_ids, store_key
from stores.predictions.writes import Appender, FeedbackResult, Labelling
from stores.settings import PredictionSettings
from stores.sources import API, TRAFFIC

_IDS_PER_QUERY = 500


class PredictionStore:
    """The prediction store. Thread-safe; one engine a process.

    Usage::

        store = PredictionStore.open(PredictionSettings())
        store.add([Prediction(...)])
        store.add_feedback({prediction_id: "sport"})

    Every method raises PredictionStoreError when the database cannot do what was asked; then nothing was written.
    """

    def __init__(self, engine: Engine, limits: Limits | None = None) -> None:
        self.engine = engine
        self._limits = limits or Limits()
        self._appender = Appender(engine, self._limits)
        self._reopening = threading.Lock()
        self._replaced = False

    @classmethod
    def open(cls, address: str | PredictionSettings, limits: Limits | None = None) -> PredictionStore:
        """Connect, and bring the schema up to date; safe when several processes start at once.

        Args:
            address: SQLAlchemy's, or the settings.
            limits: how long to wait for the database; None: those of a command.
        """
        if isinstance(address, str):
            url, limits = address, limits or Limits()
        else:
            url, limits = address.url, limits or Limits.of_command(address)
        with translated(url):
            engine = new_engine(url, limits)
            try:
                migrate(engine, limits)
            except BaseException:
                engine.dispose()
                raise
        return cls(engine, limits)

    def close(self) -> None:
        """Give the connections back."""
        self._appender.close()
        self.engine.dispose()

    # -- writing --------------------------------------------------------------------------------------------------

    def add(self, rows: Sequence[Prediction]) -> None:
        """Commit predictions in one transaction: all of them or none."""
        if not rows:
            return
        values = [columns_of(row) for row in rows]
        with self._guarded():
            self._appender.append(values)

    def add_missing(self, rows: Sequence[Prediction]) -> list[Prediction]:
        """Commit the rows whose id is not there yet, in order, but for those that were erased meanwhile.

        Returns:
            Rows that the database refuses whatever is done, such as a value that is too long for its column.
        """
        with self.writing() as connection:
            erased = erased_ids(connection, rows)
            wanted = [columns_of(row) for row in rows if row.id not in erased]
            try:
                with connection.begin_nested():
                    _insert_missing(connection, wanted)
                return []
            except DataError:
                refused = []
                for values in wanted:
                    try:
                        with connection.begin_nested():
                            _insert_missing(connection, [values])
                    except DataError:
                        refused.append(values["id"])
                return [row for row in rows if row.id in refused]

    def probe(self) -> None:
        """Write and commit one small value: whether predictions could be kept now."""
        with self.writing() as connection:
            values = {"value": secrets.token_hex(8), "created_at": time.time()}
            row = _insert(connection, stored_secrets).values(name="probe", **values)
            connection.execute(row.on_conflict_do_update(index_elements=["name"], set_=values))

    def hash_key(self) -> str:
        """The key for hashes of texts that every process of this store shares."""
        with self.reading() as connection:
            return store_key(connection)

    @contextmanager
    def labelling(self, ids: Iterable[str], *, of_key: str | None = None) -> Iterator[Labelling]:
        """The predictions with these ids, held still while it is decided whether to label them. With `of_key`, only
        those that were made with the API key of that name.

        Usage::

            with store.labelling(labels) as rows:
                if set(labels) <= set(rows.known):
                    rows.give(labels, source="file")

        What is given is committed at the end; an exception on the way leaves nothing written.
        """
        with self.writing() as connection:
            yield Labelling(connection, ids, of_key=of_key)

    def add_feedback(
        self,
        labels: Mapping[str, str],
        *,
        source: str = API,
        key_name: str | None = None,
        of_key: str | None = None,
        at: float | None = None,
    ) -> FeedbackResult:
        """Note the true labels of predictions, by id, in one transaction.

        `key_name` is the API key that gives them. With `of_key`, predictions that were not made with the key of that
        name are unknown.

        A label that is already in force, and that the same source gave, is accepted and not written again; another
        label replaces it, and both stay in the history.
        """
        with self.labelling(labels, of_key=of_key) as rows:
            rows.give(labels, source=source, key_name=key_name, at=at)
            known = rows.known
        return FeedbackResult(accepted=len(known), unknown=[id_ for id_ in labels if id_ not in known])

    # -- reading --------------------------------------------------------------------------------------------------

    def get(self, prediction_id: str) -> LabelledPrediction | None:
        """One prediction, or None."""
        if storable(prediction_id) != prediction_id:
            return None
        with self.reading() as connection:
            row = connection.execute(_labelled().where(predictions.c.id == prediction_id)).first()
        return LabelledPrediction(**row._mapping) if row else None

    def labels_of(self, ids: Collection[str], *, of_key: str | None = None) -> dict[str, frozenset[str]]:
        """Prediction id → the labels that its model can give; unknown ids are missing. No text is read.

        With `of_key`, predictions that were not made with the API key of that name are missing, too.
        """
        found: dict[str, frozenset[str]] = {}
        wanted = sorted(id_ for id_ in ids if storable(id_) == id_)
        with self.reading() as connection:
            for start in range(0, len(wanted), _IDS_PER_QUERY):
                query = select(predictions.c.id, predictions.c.scores).where(
                    predictions.c.id.in_(wanted[start : start + _IDS_PER_QUERY])
                )
                if of_key is not None:
                    query = query.where(predictions.c.key_name == of_key)
                found.update((row.id, frozenset(row.scores)) for row in connection.execute(query))
        return found

    def window(
        self,
        since: float,
        until: float,
        *,
        model_name: str | None = None,
        model_version: str | None = None,
        sources: Collection[str] | None = TRAFFIC,
        limit: int | None = None,
        characters: int | None = None,
    ) -> list[LabelledPrediction]:
        """Predictions with `since` <= created_at < `until`, newest first, with the label in force of each.

        Here and below `sources` are those of the predictions; the labels that count for them are those of
        `stores.sources.label_sources`. None: every prediction, and every label. `characters`: of each text that are
        read; None: all.
        """
        within = _within(since, until, model_name, model_version, sources)
        query = _labelled(sources, characters=characters).where(*within)
        query = query.order_by(predictions.c.created_at.desc(), predictions.c.id.desc()).limit(limit)
        with self.reading() as connection:
            return [LabelledPrediction(**row._mapping) for row in connection.execute(query)]

    def count(
        self,
        since: float,
        until: float,
        *,
        model_name: str | None = None,
        model_version: str | None = None,
        sources: Collection[str] | None = TRAFFIC,
    ) -> int:
        """How many predictions `window` would find without a limit."""
        query = select(func.count()).select_from(predictions)
        query = query.where(*_within(since, until, model_name, model_version, sources))
        with self.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def oldest(self) -> float | None:
        """When the oldest prediction was answered; None: there is none."""
        with self.reading() as connection:
            found = connection.execute(select(func.min(predictions.c.created_at))).scalar_one()
        return None if found is None else float(found)

    def count_readable(
        self,
        since: float,
        until: float,
        *,
        model_name: str,
        model_version: str,
        sources: Collection[str] | None = TRAFFIC,
    ) -> int:
        """How many predictions `sample` chooses from: those whose text is still there."""
        query = select(func.count()).select_from(predictions)
        query = query.where(
            *_within(since, until, model_name, model_version, sources), predictions.c.redacted_at.is_(None)
        )
        with self.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def sample(
        self,
        since: float,
        until: float,
        *,
        size: int,
        model_name: str | None = None,
        model_version: str | None = None,
        sources: Collection[str] | None = TRAFFIC,
        redacted: bool = False,
    ) -> list[LabelledPrediction]:
        """At most `size` predictions of a window, spread evenly over it; the same ones at every call. Redacted ones,
        whose text is gone, stand among them only where they are asked for.

        Of each text at most MEASURED_CHARACTERS are read, and fewer where all of them would have more than
        READ_CHARACTERS (`stores.predictions.filters`).

        Ids end in random digits: the smallest of them are a sample that no request pattern can bias, and that the
        database finds without handing out the rest.
        """
        wanted = _within(since, until, model_name, model_version, sources)
        if not redacted:
            wanted.append(predictions.c.redacted_at.is_(None))
        with self.reading() as connection:
            counted = select(func.count()).select_from(predictions).where(*wanted)
            found = int(connection.execute(counted).scalar_one())
        query = _labelled(sources, characters=characters_each(min(size, found))).where(*wanted)
        if found > 2 * size:  # sort a few more than are needed, not all
            bound = int(16**RANDOM_DIGITS * 1.5 * size / found)
            query = query.where(random_digits <= f"{bound:0{RANDOM_DIGITS}x}")
        query = query.order_by(random_digits, predictions.c.id).limit(size)
        with self.reading() as connection:
            return [LabelledPrediction(**row._mapping) for row in connection.execute(query)]

    def outcomes(
        self,
        since: float,
        until: float,
        *,
        model_name: str | None = None,
        model_version: str | None = None,
        sources: Collection[str] | None = TRAFFIC,
    ) -> list[Outcome]:
        """The confusion table of a window's labelled predictions, counted by the database."""
        rows = (
            _labelled(sources, characters=0)
            .where(*_within(since, until, model_name, model_version, sources))
            .subquery("rows")
        )
        query = (
            select(
                rows.c.label,
                rows.c.true_label,
                func.count().label("count"),
                func.avg(rows.c.labelled_at - rows.c.created_at).label("mean_lag"),
            )
            .where(rows.c.true_label.is_not(None))
            .group_by(rows.c.label, rows.c.true_label)
            .order_by(rows.c.label, rows.c.true_label)
        )
        with self.reading() as connection:
            return [Outcome(**row._mapping) for row in connection.execute(query)]

    def feedback_history(self, prediction_id: str) -> list[tuple[str, float]]:
        """Every label that was given to a prediction, with its time, oldest first."""
        query = (
            select(feedback.c.label, feedback.c.created_at)
            .where(feedback.c.prediction_id == prediction_id)
            .order_by(feedback.c.id)
        )
        with self.reading() as connection:
            return [(row.label, row.created_at) for row in connection.execute(query)]

    # -- inside ---------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that writes; for the other files of this package."""
        with self._guarded(), self.engine.connect() as connection:
            connection = connection.execution_options(write=True)
            with self._deadline(connection), connection.begin():
                yield connection
            check_files(connection)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that reads; for the other files of this package."""
        with self._guarded(), self.engine.connect() as connection, self._deadline(connection):
            yield connection

    @contextmanager
    def _deadline(self, connection: Connection) -> Iterator[None]:
        # Longer than the server's own limit, whose message says more.
        with deadline(connection.connection.dbapi_connection, self._limits.statement + self._limits.connect):
            yield

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """Errors as those of this package; after a file was replaced, the next call opens what is there now."""
        with translated(self.engine.url):
            if self._replaced:
                with self._reopening:
                    if self._replaced:
                        self.close()
                        forget_files(self.engine)
                        migrate(self.engine, self._limits)
                        self._replaced = False
            try:
                yield
            except PredictionStoreReplaced:
                self._replaced = True
                raise


def _insert_missing(connection: Connection, rows: list[dict[str, Any]]) -> None:
    if not rows:
        return
    connection.execute(_insert(connection, predictions).on_conflict_do_nothing(index_elements=["id"]), rows)


def _insert(connection: Connection, table: Table) -> Any:
    """The dialect's INSERT, which knows ON CONFLICT."""
    return (postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert)(table)


def _labelled(sources: Collection[str] | None = None, *, characters: int | None = None) -> Select[Any]:
    columns = [
        column if characters is None or column.name != "text" else text_up_to(characters).label("text")
        for column in predictions.c
    ]
    return select(
        *columns, feedback.c.label.label("true_label"), feedback.c.created_at.label("labelled_at")
    ).select_from(predictions.outerjoin(feedback, feedback.c.id == label_in_force(sources)))


def _within(
    since: float,
    until: float,
    model_name: str | None,
    model_version: str | None,
    sources: Collection[str] | None,
) -> list[Any]:
    conditions = [
        predictions.c.created_at >= since,
        predictions.c.created_at < until,
        *of_sources(sources),
    ]
    if model_name is not None:
        conditions.append(predictions.c.model_name == model_name)
    if model_version is not None:
        conditions.append(predictions.c.model_version == model_version)
    return conditions
