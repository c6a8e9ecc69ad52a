"""The migrations make what the code describes, and refuse what they do not know."""

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from stores.errors import PredictionStoreError
from stores.predictions import PredictionStore
from stores.predictions.migrate import alembic_config, migrate
from stores.predictions.schema import metadata


def test_migrations_make_the_schema(store: PredictionStore) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_migrating_again_changes_nothing(store: PredictionStore) -> None:
    migrate(store.engine)
    with store.engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar_one() == 1


def test_down_and_up_again(store: PredictionStore) -> None:
    with store.engine.connect().execution_options(write=True) as connection, connection.begin():
        command.downgrade(alembic_config(connection), "base")
    assert inspect(store.engine).get_table_names() == ["alembic_version"]
    migrate(store.engine)
    assert "predictions" in inspect(store.engine).get_table_names()


def test_a_database_of_a_newer_release_is_refused(store: PredictionStore, url: str) -> None:
    with store.engine.connect().execution_options(write=True) as connection, connection.begin():
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(PredictionStoreError, match=r"cannot be opened.*9999"):
        PredictionStore.open(url)
