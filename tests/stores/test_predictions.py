"""The prediction store, the same promises on SQLite and on PostgreSQL."""

from dataclasses import asdict
from pathlib import Path

import pytest
from sqlalchemy import inspect

from stores.errors import PredictionStoreError, StoreError
from stores.predictions import PredictionStore, new_prediction_id
from stores.predictions.store import storable
from tests import golden_messages as messages
from tests.support.predictions import prediction

ALWAYS = (0.0, 1e12)


def test_what_was_added_is_read_as_it_was(store: PredictionStore) -> None:
    row = prediction("Grüße, 日本 🎈\nsecond line", request_id="r-1", truncated=True, score=0.1 + 0.2)
    store.add([row])
    read = store.get(row.id)
    assert read is not None
    added_later = {"true_label": None, "labelled_at": None, "redacted_at": None, "audited_label": None}
    assert asdict(read) == asdict(row) | added_later


def test_nothing_to_add_is_nothing(store: PredictionStore) -> None:
    store.add([])
    assert store.count(*ALWAYS) == 0
    assert store.get("0" * 32) is None


def test_all_or_none(store: PredictionStore) -> None:
    first = prediction()
    store.add([first])
    with pytest.raises(PredictionStoreError):
        store.add([prediction(), prediction(id=first.id), prediction()])
    assert store.count(*ALWAYS) == 1


def test_an_error_never_holds_the_text(store: PredictionStore) -> None:
    row = prediction("a private matter")
    store.add([row])
    with pytest.raises(PredictionStoreError) as failure:
        store.add([prediction("a private matter", id=row.id)])
    error: BaseException | None = failure.value
    while error is not None:  # what a log would print, causes included
        assert "private" not in str(error)
        error = error.__cause__ or error.__context__


def test_text_that_json_carries_and_databases_do_not(store: PredictionStore) -> None:
    row = prediction("null \0 and half a pair \ud800 end", request_id="\0" + "r" * 100)
    store.add([row])
    read = store.get(row.id)
    assert read is not None
    assert read.text == "null � and half a pair � end"
    assert read.request_id == "�" + "r" * 63
    assert storable("plain") == "plain"


def test_feedback_is_idempotent_and_keeps_its_history(store: PredictionStore) -> None:
    row = prediction()
    store.add([row])
    assert store.add_feedback({row.id: "tech"}, at=10.0).accepted == 1
    assert store.add_feedback({row.id: "tech"}, at=11.0).accepted == 1
    assert store.add_feedback({row.id: "business"}, at=12.0).accepted == 1
    assert store.add_feedback({row.id: "tech"}, at=13.0).accepted == 1
    assert store.feedback_history(row.id) == [("tech", 10.0), ("business", 12.0), ("tech", 13.0)]
    read = store.get(row.id)
    assert read is not None
    assert (read.label, read.true_label, read.labelled_at) == ("business", "tech", 13.0)


def test_feedback_for_what_was_never_predicted(store: PredictionStore) -> None:
    row = prediction()
    store.add([row])
    strangers = ["f" * 32, "\0", "' OR 1=1 --", "x" * 5000, "\ud800"]
    result = store.add_feedback({strangers[0]: "tech", row.id: "tech"} | dict.fromkeys(strangers, "tech"))
    assert result.accepted == 1
    assert result.unknown == strangers
    assert store.get("\0") is None


def test_feedback_in_bulk(store: PredictionStore) -> None:
    rows = [prediction() for _ in range(1200)]
    store.add(rows)
    assert store.add_feedback({row.id: "tech" for row in rows}).accepted == 1200
    assert all(row.true_label == "tech" for row in store.window(*ALWAYS))


def test_windows(store: PredictionStore) -> None:
    store.add(
        [
            prediction("a", created_at=10.0),
            prediction("b", created_at=20.0),
            prediction("c", created_at=20.0, model_version="2"),
            prediction("d", created_at=30.0),
            prediction("e", created_at=20.0, source="demo"),
            prediction("f", created_at=20.0, model_name="other"),
        ]
    )

    def texts(*window: float, **filters: object) -> list[str]:
        found = store.window(*window, **filters)  # type: ignore[arg-type]
        assert store.count(*window, **filters) == len(found)  # type: ignore[arg-type]
        return [row.text for row in found]

    assert texts(10.0, 30.0)[-1] == "a"  # newest first; the start belongs to it, the end does not
    assert set(texts(10.0, 30.0)) == {"a", "b", "c", "f"}
    assert texts(10.0, 30.0, model_name="news", model_version="1") == ["b", "a"]
    assert texts(0.0, 100.0, sources=["demo"]) == ["e"]
    assert set(texts(0.0, 100.0, sources=("api", "demo"))) == {"a", "b", "c", "d", "e", "f"}
    assert len(texts(0.0, 100.0, sources=None)) == 6
    assert texts(31.0, 100.0) == []
    assert [row.text for row in store.window(0.0, 100.0, limit=1)] == ["d"]
    assert store.window(0.0, 100.0, limit=0) == []


def test_a_window_shows_the_label_in_force_once(store: PredictionStore) -> None:
    labelled, other = prediction("a", created_at=1.0), prediction("b", created_at=2.0)
    store.add([labelled, other])
    for label in ("tech", "sports", "politics"):
        store.add_feedback({labelled.id: label})
    assert [(row.text, row.true_label) for row in store.window(*ALWAYS)] == [("b", None), ("a", "politics")]


def test_ids_are_distinct_and_sort_by_time() -> None:
    ids = [new_prediction_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(len(id_) == 32 for id_ in ids)
    assert [id_[:16] for id_ in ids] == sorted(id_[:16] for id_ in ids)


def test_opening_twice_keeps_what_is_there(url: str) -> None:
    first = PredictionStore.open(url)
    first.add([prediction()])
    second = PredictionStore.open(url)
    assert second.count(*ALWAYS) == 1
    first.close()
    second.close()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql+psycopg://me:hunter2@127.0.0.1:9/db?connect_timeout=2", r"me:\*\*\*@127\.0\.0\.1:9/db"),
        ("not an address with hunter2", "PREDICTIONS_URL is not an SQLAlchemy address"),
        ("oracle://me:hunter2@127.0.0.1/db", "cannot be opened"),
        ("sqlite:////proc/nowhere/predictions.db", "/proc/nowhere"),
    ],
)
def test_a_store_that_cannot_be_reached(address: str, said: str) -> None:
    with pytest.raises(PredictionStoreError, match=said) as failure:
        PredictionStore.open(address)
    assert "hunter2" not in str(failure.value)
    assert isinstance(failure.value, StoreError)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    path = tmp_path / "predictions.db"
    path.write_bytes(b"this is not SQLite" * 100)
    with pytest.raises(PredictionStoreError, match=messages.NOT_A_DATABASE):
        PredictionStore.open(f"sqlite:///{path}")


def test_sqlite_runs_in_wal_mode_with_foreign_keys(tmp_path: Path) -> None:
    store = PredictionStore.open(f"sqlite:///{tmp_path / 'deep' / 'er' / 'predictions.db'}")
    with store.engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 1, "foreign_keys": 1}
    assert set(inspect(store.engine).get_table_names()) == {
        "alembic_version",
        "predictions",
        "feedback",
        "checks",
        "alert_states",
        "label_batches",
        "label_queue",
        "accepted_windows",
        "tombstones",
        "secrets",
    }
    store.close()
