"""Passwords of any characters against a real PostgreSQL that asks for them."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import psycopg
import pytest
from psycopg import sql
from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.exc import OperationalError

from stores.errors import PredictionStoreError
from stores.predictions import PredictionStore
from stores.settings import PredictionSettings
from tests import golden_messages as messages
from tests.stores.conftest import postgres as postgres
from tests.support.postgres import new_database
from tests.support.predictions import prediction
from training.settings import TrainingSettings

ROLE = "keeper"
PASSWORDS = ["p@ss/w#r%d", "a b:c?d=e&f'\"\\", "%41$1", "ü€"]


@contextmanager
def asking_for_passwords(admin: psycopg.Connection, address: URL) -> Iterator[None]:
    """Let the server trust everybody but ROLE, which needs its password."""
    row = admin.execute("SHOW hba_file").fetchone()
    assert row is not None
    rules = Path(row[0])
    before = rules.read_text(encoding="utf-8")
    rules.write_text(
        f"local all {ROLE} scram-sha-256\nhost all {ROLE} all scram-sha-256\n{before}", encoding="utf-8"
    )
    try:
        admin.execute("SELECT pg_reload_conf()")
        until = time.monotonic() + 30
        while connects(address.set(username=ROLE, password="not this one")):
            assert time.monotonic() < until, "the server did not read its rules again"
        yield
    finally:
        rules.write_text(before, encoding="utf-8")
        admin.execute("SELECT pg_reload_conf()")


def connects(address: URL | str) -> bool:
    """Whether the server lets these credentials in."""
    engine = create_engine(address)
    try:
        with engine.connect() as connection:
            return connection.exec_driver_sql("SELECT current_user").scalar_one() == ROLE
    except OperationalError as error:
        if "password authentication failed" not in str(error):
            raise
        return False
    finally:
        engine.dispose()


@pytest.fixture(scope="module")
def admin(postgres: str) -> Iterator[psycopg.Connection]:
    address = make_url(postgres).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(ROLE)))
        try:
            yield connection
        finally:
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(ROLE)))


@pytest.fixture(scope="module")
def database(admin: psycopg.Connection, postgres: str) -> Iterator[URL]:
    """Address, without a password, of a database of ROLE."""
    with new_database(postgres) as made:
        address = make_url(made).set(username=ROLE, password=None)
        owner = sql.SQL("ALTER DATABASE {} OWNER TO {}")
        admin.execute(owner.format(sql.Identifier(str(address.database)), sql.Identifier(ROLE)))
        # A password, so that it is not its absence that is refused.
        admin.execute(sql.SQL("ALTER ROLE {} PASSWORD 'another'").format(sql.Identifier(ROLE)))
        with asking_for_passwords(admin, address):
            yield address


@pytest.fixture(scope="module")
def mlflow_server() -> ModuleType:
    path = Path(__file__).parents[2] / "deploy" / "mlflow_server.py"
    specification = importlib.util.spec_from_file_location(path.stem, path)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("password", PASSWORDS)
def test_every_database_is_reached_with_the_password_as_it_is(
    password: str,
    admin: psycopg.Connection,
    database: URL,
    mlflow_server: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    admin.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(ROLE), sql.Literal(password)))
    plain = database.set(drivername="postgresql").render_as_string(hide_password=False)
    for setting in ("PREDICTIONS", "SEARCH"):
        monkeypatch.setenv(f"{setting}_URL", plain)
        monkeypatch.setenv(f"{setting}_PASSWORD", password)

    store = PredictionStore.open(PredictionSettings().url)
    try:
        row = prediction("kept under this password")
        store.add([row])
        assert store.get(row.id) is not None
    finally:
        store.close()
    assert connects(TrainingSettings().search_address)
    made = make_url(
        mlflow_server.database_address(
            {"POSTGRES_HOST": "postgres", "POSTGRES_USER": ROLE, "POSTGRES_PASSWORD": password}
        )
    )
    assert connects(database.set(username=made.username, password=made.password))


def test_a_wrong_password_is_refused_and_not_shown(database: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREDICTIONS_URL", database.render_as_string(hide_password=False))
    monkeypatch.setenv("PREDICTIONS_PASSWORD", "wr@ng/hunter2")
    with pytest.raises(PredictionStoreError, match=messages.POSTGRES_PASSWORD_WRONG) as refused:
        PredictionStore.open(PredictionSettings().url)
    assert "hunter2" not in str(refused.value)
