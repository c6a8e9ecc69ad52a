"""Where predictions go while the store is away: nowhere, or to the spool; and what readiness says of it."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.inference.prediction_sink import PredictionSink, StoreHandle
from stores.errors import PredictionStoreError
from stores.predictions import PredictionStore
from stores.settings import PredictionSettings
from tests import golden_messages as messages
from tests.support.predictions import prediction


def until(condition: Callable[[], bool], seconds: float = 30) -> None:
    """Wait for something that must come."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


@contextmanager
def running(folder: Path, **settings: Any) -> Iterator[PredictionSink]:
    """A started sink with its state in `folder`."""
    values = {"var_dir": folder, "predictions_statement_timeout": 0.5, **settings}
    given = PredictionSettings.model_validate(values)
    handle = StoreHandle(given)
    sink = PredictionSink(given, handle)
    sink.start()
    try:
        yield sink
    finally:
        sink.stop(30)
        handle.close()


def block(folder: Path) -> None:
    """Make the database one that cannot be opened."""
    (folder / "predictions.db").mkdir(parents=True)


def texts(folder: Path) -> list[str]:
    """What the store holds, the oldest first."""
    store = PredictionStore.open(PredictionSettings(var_dir=folder))
    try:
        return [row.text for row in reversed(store.window(0, time.time() + 1))]
    finally:
        store.close()


def test_readiness_follows_a_store_that_nobody_uses(tmp_path: Path) -> None:
    block(tmp_path)
    with running(tmp_path) as sink:
        until(lambda: sink.state().problem == "the prediction store refuses")
        assert not sink.ready
        with pytest.raises(PredictionStoreError):
            sink.add([prediction()])
        (tmp_path / "predictions.db").rmdir()
        until(lambda: sink.ready)
        assert sink.state().problem is None
        sink.add([prediction("kept")])
    assert texts(tmp_path) == ["kept"]


def test_a_full_store_is_not_ready_until_it_has_room(tmp_path: Path) -> None:
    with running(tmp_path) as sink:
        until(lambda: sink.ready)
        store = sink._handle()
        with store.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        store.close()

        def limit(connection: sqlite3.Connection, _record: object) -> None:
            connection.execute(f"PRAGMA max_page_count={pages}")

        from sqlalchemy import event

        event.listen(store.engine, "connect", limit)
        with pytest.raises(PredictionStoreError, match="full"):
            sink.add([prediction("x" * 100_000)])
        assert not sink.ready
        event.remove(store.engine, "connect", limit)
        store.close()
        until(lambda: sink.ready)


def test_a_store_that_hangs_is_told_and_recovers(tmp_path: Path) -> None:
    with running(tmp_path, predictions_statement_timeout=60.0) as sink:
        until(lambda: sink.ready)
        holder = sqlite3.connect(tmp_path / "predictions.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        until(lambda: not sink.ready)
        began = time.monotonic()
        with pytest.raises(PredictionStoreError, match=messages.STORE_NOT_ANSWERING):
            sink.add([prediction()])
        assert time.monotonic() - began < 30, "it is refused without waiting for the store"
        holder.execute("ROLLBACK")
        holder.close()
        until(lambda: sink.ready)


def test_the_spool_is_replayed_in_order_when_the_store_is_back(tmp_path: Path) -> None:
    block(tmp_path)
    with running(tmp_path, predictions_policy="spool") as sink:
        until(lambda: sink.state().problem is not None)
        for number in range(5):
            sink.add([prediction(f"spooled {number}")])
        state = sink.state()
        assert sink.ready
        assert (state.policy, state.available, state.spooled_rows) == ("spool", False, 5)
        assert state.spooled_bytes > 0
        assert state.oldest_spooled is not None
        (tmp_path / "predictions.db").rmdir()
        until(lambda: sink.state().spooled_rows == 0 and sink.state().available)
        sink.add([prediction("direct")])
    assert texts(tmp_path) == [*(f"spooled {number}" for number in range(5)), "direct"]


def test_the_next_process_replays_what_is_left(tmp_path: Path) -> None:
    block(tmp_path)
    with running(tmp_path, predictions_policy="spool") as sink:
        sink.add([prediction("left")])
    (tmp_path / "predictions.db").rmdir()
    with running(tmp_path, predictions_policy="spool") as sink:
        until(lambda: sink.state().available and sink.spooled_rows == 0)
    assert texts(tmp_path) == ["left"]


def test_a_full_spool_refuses_and_is_not_ready(tmp_path: Path) -> None:
    block(tmp_path)
    with running(tmp_path, predictions_policy="spool", predictions_spool_bytes=2**20) as sink:
        until(lambda: sink.state().problem is not None)
        for _ in range(10):
            sink.add([prediction("x" * 100_000)])
        with pytest.raises(PredictionStoreError):
            sink.add([prediction("x" * 100_000)])
        assert sink.spooled_rows == 10


@pytest.mark.parametrize(
    ("form", "stored"),
    [
        ("full", "Call +44 20 7946 0958 or ann@example.org."),
        ("redacted", "Call [phone] or [email]."),
        ("none", ""),
    ],
)
def test_what_is_kept_of_a_text(tmp_path: Path, form: str, stored: str) -> None:
    row = prediction("Call +44 20 7946 0958 or ann@example.org.")
    with running(tmp_path, store_text=form) as sink:
        sink.add([row])
        kept = sink._handle().get(row.id)
    assert kept is not None
    assert (kept.text, kept.text_form) == (stored, form)
    assert (kept.features is None) == (form != "none")
    assert (kept.redacted_at is None) == (form != "none")


def test_hashes_are_keyed_and_equal_in_every_process(tmp_path: Path) -> None:
    texts_kept = []
    for _ in range(2):
        with running(tmp_path, store_text="hash") as sink:
            row = prediction("yes")
            sink.add([row])
            kept = sink._handle().get(row.id)
            assert kept is not None
            texts_kept.append(kept.text)
    assert texts_kept[0] == texts_kept[1]
    assert texts_kept[0].startswith("hmac-sha256:")
    with running(tmp_path, store_text="hash", retention_hash_key="a key") as sink:
        row = prediction("yes")
        sink.add([row])
        kept = sink._handle().get(row.id)
    assert kept is not None
    assert kept.text != texts_kept[0]


@pytest.mark.parametrize("form", ["redacted", "hash", "none"])
def test_a_text_that_is_not_kept_is_in_no_file(tmp_path: Path, form: str) -> None:
    block(tmp_path)
    secret = "ann.secret@example.org"
    with running(tmp_path, predictions_policy="spool", store_text=form, retention_hash_key="k") as sink:
        sink.add([prediction(f"write to {secret}")])
        assert secret.encode() not in b"".join(
            path.read_bytes() for path in (tmp_path / "spool").iterdir() if path.is_file()
        )
        (tmp_path / "predictions.db").rmdir()
        until(lambda: sink.state().available and sink.spooled_rows == 0)
        content = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert secret.encode() not in content
