"""The migrations make what the code describes, and refuse what they do not know."""

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from stores.errors import PredictionStoreError
from stores.predictions import PredictionStore
from stores.predictions.connections import alembic_config, migrate
from stores.predictions.schema import metadata
from tests import golden_messages as messages


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


@pytest.mark.parametrize("version", ["0001", "0002", "0003", "0004", "0005", "0006", "0007", "0008"])
def test_rows_of_every_older_release_stay(store: PredictionStore, version: str) -> None:
    with store.engine.connect().execution_options(write=True) as connection, connection.begin():
        command.downgrade(alembic_config(connection), version)
        connection.execute(
            text(
                "INSERT INTO predictions (id, created_at, source, model_name, model_version, text, label, score, "
                "scores, tokens, truncated) VALUES ('a', 1.0, 'api', 'news', '1', 'Old.', 'tech', 0.5, '{}', 2, false)"
            )
        )
    migrate(store.engine)
    row = store.get("a")
    assert row is not None
    assert (row.text, row.key_name, row.text_form, row.text_hash, row.features) == ("Old.",) + (None,) * 4
    assert (row.stage, row.audited_label) == (None, None)
    with store.reading() as connection:
        keys = connection.execute(text("SELECT value FROM secrets WHERE name = 'text_hash'")).scalars().all()
    assert [len(key) for key in keys] == [64]


def test_a_database_of_a_newer_release_is_refused(store: PredictionStore, url: str) -> None:
    with store.engine.connect().execution_options(write=True) as connection, connection.begin():
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(PredictionStoreError, match=messages.SCHEMA_UNKNOWN):
        PredictionStore.open(url)
