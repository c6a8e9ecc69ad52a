"""Erasing by id and by text, whatever form the text is stored in; and what tombstones keep out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from stores.predictions import Prediction, PredictionStore
from stores.predictions.erasure import erase_predictions, erase_texts
from stores.predictions.queue import Batch, Chosen, LabelQueue
from stores.predictions.redaction import TextForm
from stores.predictions.retention import Policy, Retention
from stores.predictions.spool import Spool
from stores.predictions.texts import sha256_of_text
from stores.predictions.tombstones import erased_moments, erased_texts
from tests.support.predictions import prediction

SECRET = "Please call Ann on +44 20 7946 0958."


def kept(store: PredictionStore, form: str, text: str = SECRET, **changes: Any) -> Prediction:
    """A prediction as a service with STORE_TEXT=`form` keeps it."""
    row = TextForm(form, store.hash_key).apply(prediction(text, **changes))  # type: ignore[arg-type]
    store.add([row])
    return row


def test_an_id_erases_its_labels_and_queue_entry_only(store: PredictionStore) -> None:
    gone, same = kept(store, "full"), kept(store, "full")
    store.add_feedback({gone.id: "tech", same.id: "tech"})
    queue = LabelQueue(store)
    queue.add(Batch("news", "1", 0, 2, 1, id="alone"), [Chosen(gone.id, 1.0, "random")])
    found = erase_predictions(store, [gone.id, "unknown", "\0"])
    assert (found.ids, found.unknown) == ([gone.id], ["unknown", "\0"])
    assert store.get(gone.id) is None
    assert store.feedback_history(gone.id) == []
    assert queue.progress(0, 2, model_name="news", model_version="1") == []
    assert store.get(same.id) is not None
    with store.reading() as connection:
        assert erased_texts(connection, ["another", SECRET]) == {1}
        (moment,) = erased_moments(connection)
    assert abs(moment - time.time()) < 600


def test_a_key_erases_its_own_predictions_only(store: PredictionStore) -> None:
    hers, his = kept(store, "full", key_name="ann"), kept(store, "full", key_name="bob")
    found = erase_predictions(store, [hers.id, his.id], of_key="ann")
    assert (found.ids, found.unknown) == ([hers.id], [his.id])
    assert store.get(his.id) is not None


@pytest.mark.parametrize(
    ("form", "by"),
    [
        ("full", "text"),
        ("full", "sha256"),
        ("full", "stored"),
        ("redacted", "text"),
        ("redacted", "stored"),  # by SHA-256: of what is stored, the masked text
        ("hash", "text"),
        ("hash", "sha256"),
        ("hash", "stored"),
    ],
)
def test_a_text_finds_every_prediction_of_it_in_every_form(
    store: PredictionStore, form: str, by: str
) -> None:
    rows = [kept(store, form), kept(store, form)]
    other = kept(store, form, "Another text.")
    if by == "text":
        found = erase_texts(store, texts=[SECRET])
    elif by == "sha256":
        found = erase_texts(store, hashes=[sha256_of_text(SECRET).upper()])
    else:
        found = erase_texts(store, hashes=[str(rows[0].text_hash)])
    assert sorted(found.ids) == sorted(row.id for row in rows)
    assert store.get(other.id) is not None


def test_texts_of_older_releases_and_of_another_key_are_found(store: PredictionStore) -> None:
    old = prediction(SECRET)
    store.add([old])
    keyed = TextForm("hash", lambda: "a key").apply(prediction(SECRET))
    store.add([keyed])
    assert sorted(erase_texts(store, texts=[SECRET], keys=["a key"]).ids) == sorted([old.id, keyed.id])


def test_rows_without_a_text_are_counted_and_found_by_id_only(store: PredictionStore) -> None:
    row = kept(store, "none")
    found = erase_texts(store, texts=[SECRET])
    assert (found.ids, found.unreadable) == ([], 1)
    assert erase_predictions(store, [row.id]).ids == [row.id]


def test_the_spool_brings_nothing_back(store: PredictionStore, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", max_bytes=2**20)
    form = TextForm("full", store.hash_key)
    rows = [form.apply(prediction(text)) for text in (SECRET, "to stay", "by id", "to stay")]
    spool.append(rows)
    store.add_missing([rows[2]])
    erase_texts(store, texts=[SECRET])
    erase_predictions(store, [rows[2].id])
    later = form.apply(prediction(SECRET, created_at=time.time() + 5))
    spool.append([later])
    store.add_missing(spool.head(10))
    assert {row.id for row in store.window(0, time.time() + 10)} == {rows[1].id, rows[3].id, later.id}


def test_no_erased_text_is_left_in_the_file(tmp_path: Path) -> None:
    store = PredictionStore.open(f"sqlite:///{tmp_path / 'predictions.db'}")
    row = kept(store, "full")
    store.add_feedback({row.id: "tech"})
    erase_predictions(store, [row.id])
    store.close()
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert SECRET.encode() not in content
    assert sha256_of_text(SECRET).encode() not in content, "a short text can be guessed from it"


def test_pruned_labelled_texts_are_not_learned_from(store: PredictionStore) -> None:
    labelled, other = kept(store, "full", created_at=1.0), kept(store, "full", "No label.", created_at=1.0)
    store.add_feedback({labelled.id: "tech"})
    Retention(store, Policy(delete_before=2.0)).forget(lambda _: "", now=3.0)
    assert store.get(labelled.id) is store.get(other.id) is None
    with store.reading() as connection:
        assert erased_texts(connection, [SECRET, "No label."]) == {0}
