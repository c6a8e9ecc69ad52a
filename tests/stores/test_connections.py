"""A store that vanishes, is replaced, or stops to answer: noticed, refused, and found again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text as sql
from sqlalchemy.engine import make_url

from stores.errors import PredictionStoreError, PredictionStoreReplaced
from stores.predictions import PredictionStore
from stores.predictions.connections import Limits
from stores.settings import PredictionSettings
from tests import golden_messages as messages
from tests.support.postgres import new_database
from tests.support.predictions import prediction
from tests.support.proxies import silent_proxy

QUICK = Limits(connect=2.0, statement=1.0)


def remove(database: Path) -> None:
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()


def remove_only_the_log(database: Path) -> None:
    Path(f"{database}-wal").unlink()


def replace(database: Path) -> None:
    shutil.copy(database, database.with_suffix(".copy"))
    remove(database)
    database.with_suffix(".copy").rename(database)


def remove_the_folder(database: Path) -> None:
    shutil.rmtree(database.parent)


@pytest.mark.parametrize("change", [remove, remove_only_the_log, replace, remove_the_folder])
def test_rows_are_never_kept_in_a_file_that_is_gone(tmp_path: Path, change: Callable[[Path], None]) -> None:
    database = tmp_path / "state" / "predictions.db"
    store = PredictionStore.open(f"sqlite:///{database}")
    first, lost, again = prediction("one"), prediction("two"), prediction("three")
    store.add([first])
    change(database)
    with pytest.raises(PredictionStoreReplaced):
        store.add([lost])
    store.add([again])
    store.add_feedback({again.id: "tech"})
    store.close()
    reopened = PredictionStore.open(f"sqlite:///{database}")
    found = {row.text for row in reopened.window(0, time.time() + 1)}
    reopened.close()
    assert "three" in found
    assert "two" not in found


@pytest.mark.parametrize("use", ["probe", "feedback", "read"])
def test_every_use_of_the_store_notices(tmp_path: Path, use: str) -> None:
    database = tmp_path / "predictions.db"
    store = PredictionStore.open(f"sqlite:///{database}")
    row = prediction()
    store.add([row])
    remove(database)
    calls = {
        "probe": store.probe,
        "feedback": lambda: store.add_feedback({row.id: "tech"}),
        "read": lambda: store.get(row.id),
    }
    with pytest.raises(PredictionStoreReplaced):
        calls[use]()
    store.probe()
    assert database.is_file()
    store.close()


def test_a_file_that_cannot_be_reopened_is_an_error(tmp_path: Path) -> None:
    database = tmp_path / "predictions.db"
    store = PredictionStore.open(f"sqlite:///{database}")
    remove(database)
    database.write_bytes(b"this is no database" * 100)
    for _ in range(3):
        with pytest.raises(PredictionStoreError):
            store.add([prediction()])
    database.unlink()
    store.add([prediction()])
    store.close()


@pytest.mark.parametrize(("setting", "pragma"), [("normal", 1), ("full", 2), ("extra", 3)])
def test_durability_of_sqlite_is_a_setting(tmp_path: Path, setting: str, pragma: int) -> None:
    settings = PredictionSettings.model_validate({"var_dir": tmp_path, "predictions_synchronous": setting})
    store = PredictionStore.open(settings)
    with store.reading() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == pragma
    store.close()


def test_a_probe_writes(store: PredictionStore) -> None:
    store.probe()
    store.probe()
    with store.reading() as connection:
        values = connection.execute(sql("SELECT value FROM secrets WHERE name = 'probe'")).scalars().all()
    assert len(values) == 1


def test_statements_on_postgresql_have_a_limit(postgres: str) -> None:
    with new_database(postgres) as address:
        store = PredictionStore.open(address, QUICK)
        with (
            pytest.raises(PredictionStoreError, match=messages.STATEMENT_TIMEOUT),
            store.reading() as connection,
        ):
            connection.execute(sql("SELECT pg_sleep(60)"))
        store.add([prediction()])
        store.close()


def test_a_silent_server_is_given_up_and_found_again(postgres: str) -> None:
    with new_database(postgres) as address:
        PredictionStore.open(address).close()
        url = make_url(address)
        target = (
            f"{url.query['host']}/.s.PGSQL.{url.port or 5432}"
            if "host" in url.query
            else (str(url.host), url.port or 5432)
        )
        with silent_proxy(target) as proxy:
            behind = url.set(host="127.0.0.1", port=proxy.port, query={}).render_as_string(
                hide_password=False
            )
            store = PredictionStore.open(behind, QUICK)
            before, lost, after = prediction("before"), prediction("lost"), prediction("after")
            store.add([before])
            proxy.silent.set()
            for call in (
                lambda: store.add([lost]),
                store.probe,
                lambda: store.get(before.id),
                lambda: PredictionStore.open(behind, QUICK),
            ):
                began = time.monotonic()
                with pytest.raises(PredictionStoreError):
                    call()
                assert time.monotonic() - began < 60, "it waits for ever without a deadline"
            proxy.silent.clear()
            store.add([after])
            assert {row.text for row in store.window(0, time.time() + 1)} == {"before", "after"}
            store.close()


def test_an_address_may_set_its_own_limits(postgres: str) -> None:
    with new_database(postgres) as address:
        url = make_url(address).update_query_dict({"connect_timeout": "7", "tcp_user_timeout": "1234"})
        store = PredictionStore.open(url.render_as_string(hide_password=False), QUICK)
        with store.reading() as connection:
            parameters = connection.connection.dbapi_connection.info.get_parameters()  # type: ignore[union-attr]
        store.close()
    assert parameters["connect_timeout"] == "7"
    assert parameters["tcp_user_timeout"] == "1234"
    assert parameters["keepalives_idle"] == "15"
