"""Forgetting, the same promises on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import func, select

from stores.predictions import PredictionStore
from stores.predictions.queue import Batch, Chosen, LabelQueue
from stores.predictions.retention import BATCH, Forgotten, Policy, Retention
from stores.predictions.schema import feedback, label_batches
from tests.support.predictions import prediction

ALWAYS = (0.0, 1e12)


def forget(store: PredictionStore, **rules: float | int) -> Forgotten:
    """What was said before it was done, and done, which must be the same."""
    retention = Retention(store, Policy(**rules))  # type: ignore[arg-type]
    said = retention.would_forget()
    assert retention.forget(lambda text: f"#{len(text)}", now=99.0) == said
    assert retention.would_forget() == Forgotten(), "nothing is left to do"
    return said


def times(store: PredictionStore) -> list[float]:
    return [row.created_at for row in reversed(store.window(*ALWAYS))]


def test_no_rule_forgets_nothing(store: PredictionStore) -> None:
    store.add([prediction(created_at=1.0)])
    assert forget(store) == Forgotten()
    assert times(store) == [1.0]


def test_by_age_and_by_number_with_their_labels(store: PredictionStore) -> None:
    rows = [prediction(created_at=float(at)) for at in range(10)]
    store.add(rows)
    store.add_feedback({row.id: "tech" for row in rows})
    batch = Batch("news", "1", 0.0, 2.0, 2)
    LabelQueue(store).add(batch, [Chosen(rows[0].id, 1.0, "new")])
    assert forget(store, delete_before=2.0, keep_rows=5) == Forgotten(too_old=2, too_many=3)
    assert times(store) == [5.0, 6.0, 7.0, 8.0, 9.0]
    with store.reading() as connection:
        assert connection.execute(select(func.count()).select_from(feedback)).scalar_one() == 5
        assert connection.execute(select(func.count()).select_from(label_batches)).scalar_one() == 0
    assert forget(store, keep_rows=5) == Forgotten()
    assert forget(store, keep_rows=500) == Forgotten()


def test_rows_of_one_moment_are_counted_too(store: PredictionStore) -> None:
    store.add([prediction(created_at=1.0) for _ in range(10)])
    assert forget(store, keep_rows=4) == Forgotten(too_many=6)


def test_thinning_keeps_a_share_and_all_that_people_worked_on(store: PredictionStore) -> None:
    rows = [prediction(created_at=float(at)) for at in range(1600)]
    store.add(rows)
    store.add_feedback({row.id: "tech" for row in rows[:100]})
    LabelQueue(store).add(
        Batch("news", "1", 0.0, 1600.0, 1600), [Chosen(row.id, 0.1, "new") for row in rows[100:150]]
    )
    done = forget(store, thin_before=1500.0, thin_to=0.25)
    left = times(store)
    assert left[-100:] == [float(at) for at in range(1500, 1600)]
    assert set(range(150)) <= {int(at) for at in left}
    assert len(left) == 1600 - done.thinned
    kept = len(left) - 250
    assert 250 < kept < 425, "337 expected, 85 is over five standard deviations"
    assert forget(store, thin_before=1500.0, thin_to=1.0) == Forgotten()


def test_redacting_keeps_everything_but_the_text(store: PredictionStore) -> None:
    old = prediction("a private matter", created_at=1.0, seconds=0.25)
    new = prediction("a new one", created_at=5.0)
    store.add([old, new])
    store.add_feedback({old.id: "tech"}, at=3.0)
    assert forget(store, redact_before=2.0) == Forgotten(redacted=1)
    read = store.get(old.id)
    assert read is not None
    assert (read.text, read.redacted_at) == ("#16", 99.0)
    assert (read.label, read.score, dict(read.scores), read.tokens, read.true_label, read.seconds) == (
        old.label, old.score, dict(old.scores), old.tokens, "tech", 0.25,
    )  # fmt: skip
    kept = store.get(new.id)
    assert kept is not None
    assert (kept.text, kept.redacted_at) == ("a new one", None)
    assert [row.id for row in store.sample(*ALWAYS, size=10)] == [new.id]
    assert {row.id for row in store.sample(*ALWAYS, size=10, redacted=True)} == {old.id, new.id}


def test_nothing_of_a_removed_text_is_left_in_the_file(tmp_path: Path) -> None:
    store = PredictionStore.open(f"sqlite:///{tmp_path / 'predictions.db'}")
    secret = "Xylophonist " * 800  # more than a page
    store.add([prediction(secret, created_at=1.0), prediction(created_at=2.0)])
    Retention(store, Policy(redact_before=1.5)).forget(lambda _: "", now=9.0)
    assert not [path for path in tmp_path.iterdir() if b"Xylophonist" in path.read_bytes()]
    store.close()


def test_more_than_one_batch_while_the_service_writes(store: PredictionStore) -> None:
    count = 2 * BATCH + 100
    store.add([prediction(created_at=at / count) for at in range(count)])
    done = threading.Event()
    written: list[str] = []
    failures: list[Exception] = []

    def write() -> None:
        try:
            while not done.is_set():
                row = prediction(created_at=50.0)
                store.add([row])
                store.add_feedback({row.id: "tech"})
                written.append(row.id)
        except Exception as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        found = Retention(store, Policy(delete_before=1.0)).forget(lambda _: "", now=99.0)
    finally:
        done.set()
        writer.join()
    assert failures == []
    assert found == Forgotten(too_old=count)
    assert written, "the writer had its turn"
    assert {row.id for row in store.window(*ALWAYS)} == set(written)
    assert all(row.true_label == "tech" for row in store.window(*ALWAYS))


@pytest.mark.parametrize("keep", [1, 3])
def test_the_newest_are_kept(store: PredictionStore, keep: int) -> None:
    store.add([prediction(created_at=float(at)) for at in (3, 1, 2, 5, 4)])
    forget(store, keep_rows=keep)
    assert times(store) == [3.0, 4.0, 5.0][-keep:]
