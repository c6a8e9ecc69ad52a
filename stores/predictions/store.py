"""`PredictionStore`: writes predictions and feedback, reads windows of them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from typing import Any

from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, Select, create_engine, event, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from stores.errors import PredictionStoreError
from stores.predictions.appending import Appender
from stores.predictions.labels import FeedbackResult, Labelling
from stores.predictions.migrate import migrate
from stores.predictions.schema import REQUEST_ID_LENGTH, feedback, predictions
from stores.predictions.storable import storable

_RANDOM_DIGITS_FROM, RANDOM_DIGITS = 17, 8
"""Where the random part of an id stands (from 1, as SQL counts), and how much of it is looked at."""
random_digits = func.substr(predictions.c.id, _RANDOM_DIGITS_FROM, RANDOM_DIGITS)
"""Luck that a prediction was born with: no request pattern can bias what is chosen by it."""


def new_prediction_id() -> str:
    """A new id of 32 hexadecimal digits; ids sort by the time they were made, which keeps the index compact."""
    return f"{time.time_ns():016x}{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answered text."""

    text: str
    label: str
    score: float
    scores: Mapping[str, float]
    """Label → probability, for all labels."""
    tokens: int
    truncated: bool
    model_name: str
    model_version: str
    model_alias: str | None = None
    request_id: str | None = None
    source: str = "live"
    """`live` traffic, or a name of its own for traffic that monitoring should not count."""
    id: str = field(default_factory=new_prediction_id)
    created_at: float = field(default_factory=time.time)
    """Seconds since the epoch, UTC."""
    seconds: float | None = None
    """From the moment the request was read until its answer was computed; None: nobody measured it, or the answer was
    known already."""


_FIELDS = tuple(column.name for column in fields(Prediction))


@dataclass(frozen=True, slots=True)
class LabelledPrediction(Prediction):
    """A prediction as it is read: with the label that is true, as far as anybody has said."""

    true_label: str | None = None
    labelled_at: float | None = None
    redacted_at: float | None = None
    """Since when `text` is gone, by the retention policy; None: it is there."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Predictions of one label whose truth is known and the same: one cell of a confusion table."""

    label: str
    """What was predicted."""
    true_label: str
    count: int
    mean_lag: float
    """Seconds between prediction and label, on average."""


class PredictionStore:
    """The prediction store. Thread-safe; one engine a process.

    Usage::

        store = PredictionStore.open(PredictionSettings().url)
        store.add([Prediction(...)])
        store.add_feedback({prediction_id: "sport"})

    Every method raises PredictionStoreError when the database cannot do what was asked; then nothing was written.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._appender = Appender(engine)

    @classmethod
    def open(cls, url: str) -> PredictionStore:
        """Connect, and bring the schema up to date; safe when several processes start at once."""
        with _translated(url):
            engine = _engine(url)
            try:
                migrate(engine)
            except BaseException:
                engine.dispose()
                raise
        return cls(engine)

    def close(self) -> None:
        """Give the connections back."""
        self._appender.close()
        self.engine.dispose()

    # -- writing --------------------------------------------------------------------------------------------------

    def add(self, rows: Sequence[Prediction]) -> None:
        """Commit predictions in one transaction: all of them or none."""
        if not rows:
            return
        values = [_columns(row) for row in rows]
        with _translated(self.engine.url):
            self._appender.append(values)

    @contextmanager
    def labelling(self, ids: Iterable[str]) -> Iterator[Labelling]:
        """The predictions with these ids, held still while it is decided whether to label them.

        Usage::

            with store.labelling(labels) as rows:
                if set(labels) <= set(rows.known):
                    rows.give(labels, source="file")

        What is given is committed at the end; an exception on the way leaves nothing written.
        """
        with self.writing() as connection:
            yield Labelling(connection, ids)

    def add_feedback(
        self, labels: Mapping[str, str], *, source: str = "api", at: float | None = None
    ) -> FeedbackResult:
        """Note the true labels of predictions, by id, in one transaction.

        A label that is already in force is accepted and not written again; another label replaces it, and both
        stay in the history.
        """
        with self.labelling(labels) as rows:
            rows.give(labels, source=source, at=at)
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

    def window(
        self,
        since: float,
        until: float,
        *,
        model_name: str | None = None,
        model_version: str | None = None,
        source: str = "live",
        limit: int | None = None,
    ) -> list[LabelledPrediction]:
        """Predictions with `since` <= created_at < `until`, newest first, with the label in force of each."""
        query = _labelled().where(*_within(since, until, model_name, model_version, source))
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
        source: str = "live",
    ) -> int:
        """How many predictions `window` would find without a limit."""
        query = select(func.count()).select_from(predictions)
        query = query.where(*_within(since, until, model_name, model_version, source))
        with self.reading() as connection:
            return int(connection.execute(query).scalar_one())

    def count_readable(self, since: float, until: float, *, model_name: str, model_version: str) -> int:
        """How many live predictions `sample` chooses from: those whose text is still there."""
        query = select(func.count()).select_from(predictions)
        query = query.where(
            *_within(since, until, model_name, model_version, "live"), predictions.c.redacted_at.is_(None)
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
        source: str = "live",
        redacted: bool = False,
    ) -> list[LabelledPrediction]:
        """At most `size` predictions of a window, spread evenly over it; the same ones at every call. Redacted ones,
        whose text is gone, stand among them only where they are asked for.

        Ids end in random digits: the smallest of them are a sample that no request pattern can bias, and that the
        database finds without handing out the rest.
        """
        wanted = _within(since, until, model_name, model_version, source)
        if not redacted:
            wanted.append(predictions.c.redacted_at.is_(None))
        with self.reading() as connection:
            counted = select(func.count()).select_from(predictions).where(*wanted)
            found = int(connection.execute(counted).scalar_one())
        query = _labelled().where(*wanted)
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
        source: str = "live",
    ) -> list[Outcome]:
        """The confusion table of a window's labelled predictions, counted by the database."""
        rows = _labelled().where(*_within(since, until, model_name, model_version, source)).subquery("rows")
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
        with _translated(self.engine.url), self.engine.connect() as connection:
            connection = connection.execution_options(write=True)
            with connection.begin():
                yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that reads; for the other files of this package."""
        with _translated(self.engine.url), self.engine.connect() as connection:
            yield connection


def _columns(row: Prediction) -> dict[str, Any]:
    # Not `asdict`: it copies the scores value by value, and took half of an insert's time.
    values = {name: getattr(row, name) for name in _FIELDS} | {"scores": dict(row.scores)}
    values["text"] = storable(row.text)
    if row.request_id is not None:  # a client may choose it
        values["request_id"] = storable(row.request_id)[:REQUEST_ID_LENGTH]
    return values


def _labelled() -> Select[Any]:
    # Looked up prediction by prediction in the index, so that the cost is the window's, not the history's.
    every = feedback.alias("every")
    newest = select(func.max(every.c.id)).where(every.c.prediction_id == predictions.c.id).scalar_subquery()
    return select(
        predictions, feedback.c.label.label("true_label"), feedback.c.created_at.label("labelled_at")
    ).select_from(predictions.outerjoin(feedback, feedback.c.id == newest))


def _within(
    since: float, until: float, model_name: str | None, model_version: str | None, source: str
) -> list[Any]:
    conditions = [
        predictions.c.created_at >= since,
        predictions.c.created_at < until,
        predictions.c.source == source,
    ]
    if model_name is not None:
        conditions.append(predictions.c.model_name == model_name)
    if model_version is not None:
        conditions.append(predictions.c.model_version == model_version)
    return conditions


def _engine(url: str) -> Engine:
    if not url.startswith("sqlite"):
        return create_engine(url, pool_pre_ping=True, pool_size=5, max_overflow=5, hide_parameters=True)
    engine = create_engine(
        url, connect_args={"timeout": 30, "check_same_thread": False}, hide_parameters=True
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's own BEGIN, below
        cursor = connection.cursor()
        # WAL: readers never wait for the writer. NORMAL: a killed process loses nothing that was committed.
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        # A write transaction takes its lock at once: upgrading a read lock later fails without waiting.
        immediate = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


@contextmanager
def _translated(url: URL | str) -> Iterator[None]:
    try:
        yield
    except ArgumentError:
        # The address itself is wrong; it is not repeated, for it may hold a password.
        raise PredictionStoreError(
            "PREDICTIONS_URL is not an SQLAlchemy address such as postgresql://user@host/database"
        ) from None
    except SQLAlchemyError as error:
        # Not str(error): it repeats the statement.
        reason = str(getattr(error, "orig", None) or type(error).__name__)
        raise PredictionStoreError(f"the prediction store at {_shown(url)} failed: {reason}") from error
    except (CommandError, OSError, ImportError) as error:  # a schema newer than this code, a folder, a driver
        raise PredictionStoreError(
            f"the prediction store at {_shown(url)} cannot be opened: {error}"
        ) from error


def _shown(url: URL | str) -> str:
    return make_url(url).render_as_string(hide_password=True)
