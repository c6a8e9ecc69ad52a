"""Bringing a database's schema up to date, with Alembic, from inside the process that needs it."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from filelock import FileLock
from sqlalchemy import Connection, Engine, text

_MIGRATIONS = Path(__file__).with_name("migrations")
_POSTGRES_LOCK = 0x43484D50  # "CHMP": any number that nobody else uses


def migrate(engine: Engine) -> None:
    """Run every missing migration; processes that start at once wait for one another."""
    if engine.dialect.name == "sqlite":
        database = engine.url.database
        if database and database != ":memory:":
            Path(database).parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{database}.lock"):
                _upgrade(engine)
            return
    _upgrade(engine)


def _upgrade(engine: Engine) -> None:
    with engine.connect().execution_options(write=True) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _POSTGRES_LOCK})
        command.upgrade(alembic_config(connection), "head")


def alembic_config(connection: Connection) -> Config:
    """Alembic's configuration, bound to an open connection."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    config.attributes["connection"] = connection
    return config
