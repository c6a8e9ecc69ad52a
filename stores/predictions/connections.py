"""Connections to the prediction store's database: time-outs, deleted SQLite files, and schema migrations.

PostgreSQL: the server ends statements that take too long (`statement_timeout`), TCP ends connections whose peer is gone
(keepalives, `tcp_user_timeout`), and `deadline` ends those whose peer acknowledges packets and never answers, such as
a stopped process behind a proxy. psycopg has no limit on the time of a statement on the client's side: at the deadline
the socket is shut down, and the call fails as it does when the server has crashed. SQLite: a deleted or replaced file
is detected by its device and inode.
"""

from __future__ import annotations

import heapq
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from filelock import FileLock
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DisconnectionError, SQLAlchemyError

from stores.errors import PredictionStoreError, PredictionStoreReplaced
from stores.private_files import FILE_MODE, make_private_file, make_private_folder
from stores.settings import PredictionSettings


class _Watchdog:
    """One thread for all deadlines of the process; it starts with the first."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._heap: list[tuple[float, int]] = []
        self._waiting: dict[int, Any] = {}
        self._numbers = count()
        self._thread: threading.Thread | None = None

    def add(self, connection: Any, seconds: float) -> int:
        """Shut `connection` down in `seconds` seconds, unless `remove` is called with the number returned."""
        at = time.monotonic() + seconds
        with self._changed:
            number = next(self._numbers)
            self._waiting[number] = connection
            heapq.heappush(self._heap, (at, number))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="database-deadlines", daemon=True)
                self._thread.start()
            elif self._heap[0][1] == number:
                self._changed.notify()
        return number

    def remove(self, number: int) -> bool:
        """Whether the deadline had not been reached."""
        with self._changed:
            return self._waiting.pop(number, None) is not None

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._heap and self._heap[0][1] not in self._waiting:
                    heapq.heappop(self._heap)
                if not self._heap:
                    self._changed.wait()
                    continue
                at, number = self._heap[0]
                left = at - time.monotonic()
                if left > 0:
                    self._changed.wait(left)
                    continue
                heapq.heappop(self._heap)
                connection = self._waiting.pop(number, None)
                if connection is not None:
                    _shut_down(connection)  # under the lock: `remove` must not return before it is done


_watchdog = _Watchdog()


@contextmanager
def deadline(connection: Any, seconds: float) -> Iterator[None]:
    """Fail the driver's calls on `connection` that are not over after `seconds` seconds.

    Args:
        connection: a DBAPI connection; other drivers' than psycopg's have no deadline.
        seconds: from now.
    """
    if not hasattr(connection, "pgconn"):
        yield
        return
    number = _watchdog.add(connection, seconds)
    try:
        yield
    finally:
        _watchdog.remove(number)


def _shut_down(connection: Any) -> None:
    # A duplicate of the descriptor: psycopg still owns the original.
    with suppress(Exception), socket.socket(fileno=os.dup(connection.pgconn.socket)) as peer:
        peer.shutdown(socket.SHUT_RDWR)


_FILES = ("", "-wal", "-shm")
"""Suffixes of the files of an SQLite database in WAL mode; all exist while a connection is open."""
_IDENTITIES = "identities"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait for the database, in seconds; the settings PREDICTIONS_… say what each is for."""

    connect: float = 5.0
    statement: float = 30.0
    tcp_user: float = 15.0
    recycle: float = 1800.0
    synchronous: str = "normal"
    private: bool = True
    """Whether an SQLite file that is made is for its user only."""

    @classmethod
    def of(cls, settings: PredictionSettings) -> Limits:
        """Those of a process that serves requests."""
        return cls(
            connect=settings.predictions_connect_timeout,
            statement=settings.predictions_statement_timeout,
            tcp_user=settings.predictions_tcp_timeout,
            recycle=settings.predictions_pool_recycle,
            synchronous=settings.predictions_synchronous,
            private=settings.var_private,
        )

    @classmethod
    def of_command(cls, settings: PredictionSettings) -> Limits:
        """Those of a command that reads whole windows: its statements may take longer."""
        return replace(cls.of(settings), statement=settings.predictions_read_timeout)


def new_engine(url: str, limits: Limits) -> Engine:
    """An engine for a database of either kind; nothing is connected yet."""
    if make_url(url).get_backend_name() == "sqlite":
        return _sqlite_engine(url, limits)
    if make_url(url).get_backend_name() == "postgresql":
        return _postgresql_engine(url, limits)
    return create_engine(url, pool_pre_ping=True, hide_parameters=True)


@contextmanager
def translated(url: URL | str) -> Iterator[None]:
    """Turn the errors of SQLAlchemy and Alembic into PredictionStoreError, without statement or password."""
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


_opened: WeakKeyDictionary[Engine, dict[str, tuple[int, int]]] = WeakKeyDictionary()
"""SQLite engine → path of its file and what it was when the engine connected first."""


def forget_files(engine: Engine) -> None:
    """Take whatever file is at the path now for the right one."""
    if engine in _opened:
        _opened[engine].clear()


def check_files(connection: Connection) -> None:
    """Refuse an SQLite connection whose files are no longer those at its path; three calls of `stat`.

    Raises:
        PredictionStoreReplaced: what this connection commits would be in no file. The connection is invalidated.
    """
    identities = connection.connection.info.get(_IDENTITIES)
    if not identities:
        return
    for path, identity in identities.items():
        if _identity(path) != identity:
            connection.invalidate()
            raise PredictionStoreReplaced(
                f"the file {path} of the prediction store was deleted or replaced while it was open: nothing was kept; "
                "the next request opens the file that is there, or makes a new one"
            )


def _postgresql_engine(url: str, limits: Limits) -> Engine:
    wanted = {
        "connect_timeout": max(2, round(limits.connect)),
        "keepalives": 1,
        "keepalives_idle": 15,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": round(1000 * limits.tcp_user),
    }
    given = make_url(url).query  # an address that sets them itself is right
    engine = create_engine(
        url,
        connect_args={name: value for name, value in wanted.items() if name not in given},
        pool_size=5,
        max_overflow=5,
        pool_timeout=limits.connect + limits.statement,
        pool_recycle=round(limits.recycle),
        hide_parameters=True,
    )
    milliseconds = round(1000 * limits.statement)

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: Any) -> None:
        with deadline(connection, limits.connect), connection.cursor() as cursor:
            # As a statement, not as a start-up option, which connection poolers refuse.
            cursor.execute(f"SET statement_timeout = {milliseconds}")
            cursor.execute(f"SET idle_in_transaction_session_timeout = {4 * milliseconds}")
        connection.commit()

    @event.listens_for(engine, "checkout")
    def _ping(connection: Any, _record: Any, _proxy: Any) -> None:
        # SQLAlchemy's pool_pre_ping waits for ever where the peer acknowledges and does not answer.
        try:
            with deadline(connection, limits.connect), connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            connection.rollback()
        except Exception as error:
            raise DisconnectionError from error

    return engine


def _sqlite_engine(url: str, limits: Limits) -> Engine:
    engine = create_engine(
        url,
        connect_args={"timeout": limits.statement, "check_same_thread": False},
        hide_parameters=True,
    )
    path = engine.url.database
    on_disk = bool(path) and path != ":memory:" and not str(path).startswith("file:")
    first: dict[str, tuple[int, int]] = {}
    _opened[engine] = first
    synchronous = {"normal": "NORMAL", "full": "FULL", "extra": "EXTRA"}[limits.synchronous]

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's own BEGIN, below
        cursor = connection.cursor()
        # WAL: readers never wait for the writer. NORMAL: a killed process loses nothing that was committed.
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={synchronous}")
        cursor.execute("PRAGMA foreign_keys=ON")
        if on_disk:
            cursor.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the file and its log
            found = {
                f"{path}{suffix}": identity
                for suffix in _FILES
                if (identity := _identity(f"{path}{suffix}")) is not None
            }
            # A connection to a new file, made because the old one was deleted, must not be used either.
            record.info[_IDENTITIES] = {
                **found,
                str(path): first.setdefault(str(path), found.get(str(path), (0, 0))),
            }
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        check_files(connection)
        # A write transaction takes its lock at once: upgrading a read lock later fails without waiting.
        immediate = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def _identity(path: str) -> tuple[int, int] | None:
    with suppress(OSError):
        status = os.stat(path)  # noqa: PTH116  at every commit: a Path costs more than the call
        return status.st_dev, status.st_ino
    return None


def _shown(url: URL | str) -> str:
    return make_url(url).render_as_string(hide_password=True)


_MIGRATIONS = Path(__file__).with_name("migrations")
_POSTGRES_LOCK = 0x43484D50  # "CHMP": an arbitrary number


def migrate(engine: Engine, limits: Limits | None = None) -> None:
    """Run every missing migration; processes that start at once wait for one another.

    A database that is up to date is only asked which version it has, within the limits on waiting. Migrations
    themselves have no limit: an index on a large table takes its time.
    """
    if engine.dialect.name == "sqlite":
        database = engine.url.database
        if database and database != ":memory:":
            path = Path(database)
            if limits is None or limits.private:
                make_private_folder(path.parent)
                make_private_file(path)  # its log gets the same mode
                lock = FileLock(f"{database}.lock", mode=FILE_MODE)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                lock = FileLock(f"{database}.lock")
            with lock:
                _upgrade(engine)
            return
    elif _is_current(engine, limits or Limits()):
        return
    _upgrade(engine)


def _is_current(engine: Engine, limits: Limits) -> bool:
    with (
        engine.connect() as connection,
        deadline(connection.connection.dbapi_connection, limits.statement + limits.connect),
    ):
        if not inspect(connection).has_table("alembic_version"):
            return False
        versions = set(connection.execute(text("SELECT version_num FROM alembic_version")).scalars())
        return versions == set(ScriptDirectory.from_config(alembic_config(connection)).get_heads())


def _upgrade(engine: Engine) -> None:
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})
        command.upgrade(alembic_config(connection), "head")


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration, bound to an open connection."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config
