"""Stages and audits of cascades in the prediction store."""

from __future__ import annotations

import time
from pathlib import Path

from stores.predictions import PredictionStore
from stores.predictions.audits import add_audits, audited_answers
from stores.predictions.erasure import erase_predictions
from stores.predictions.redaction import TextForm
from stores.predictions.retention import Policy, Retention
from stores.predictions.spool import Spool
from tests.support.predictions import prediction


def audits_of(store: PredictionStore, **changes: object) -> list[tuple[str, str]]:
    facts: dict[str, object] = {"model_name": "news", "model_version": "1", "size": 100, **changes}
    found = audited_answers(store, 0, time.time() + 1, **facts)  # type: ignore[arg-type]
    return sorted((audit.label, audit.audited_label) for audit in found)


def test_a_prediction_keeps_its_stage(store: PredictionStore) -> None:
    rows = [prediction(stage="static_linear"), prediction(stage="minilm\0"), prediction()]
    store.add(rows)
    found = {row.id: row.stage for row in store.window(0, time.time() + 1)}
    assert [found[row.id] for row in rows] == ["static_linear", "minilm\ufffd", None]


def test_a_spooled_prediction_keeps_its_stage(store: PredictionStore, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", max_bytes=100_000)
    row = prediction(stage="minilm")
    spool.append([row])
    store.add_missing(spool.head(10))
    found = store.get(row.id)
    assert found is not None
    assert found.stage == "minilm"
    spool.close()


def test_audits_are_read_of_one_version_and_traffic(store: PredictionStore) -> None:
    rows = [
        prediction(stage="static_linear"),
        prediction(stage="static_linear"),
        prediction(stage="static_linear", model_version="2"),
        prediction(stage="static_linear", source="load"),
        prediction(stage="static_linear"),
    ]
    store.add(rows)
    labels = dict(zip((row.id for row in rows), ("business", "tech", "tech", "tech"), strict=False))
    assert add_audits(store, {**labels, "0" * 32: "tech"}) == 4
    assert audits_of(store) == [("business", "business"), ("business", "tech")]
    assert audits_of(store, model_version="2") == [("business", "tech")]
    assert len(audits_of(store, size=1)) == 1
    assert add_audits(store, {}) == 0


def test_erasing_and_pruning_reach_audits(store: PredictionStore) -> None:
    kept, erased, old = prediction(), prediction(), prediction(created_at=1.0)
    store.add([kept, erased, old])
    add_audits(store, dict.fromkeys((kept.id, erased.id, old.id), "tech"))
    erase_predictions(store, [erased.id])
    assert Retention(store, Policy(delete_before=2.0)).forget(str, now=3.0).too_old == 1
    assert audits_of(store) == [("business", "tech")]
    assert add_audits(store, {erased.id: "tech"}) == 0


def test_no_text_is_stored_for_an_audit(store: PredictionStore) -> None:
    row = TextForm("none", lambda: "key").apply(prediction("A secret text.", stage="static_linear"))
    store.add([row])
    add_audits(store, {row.id: "tech"})
    found = store.get(row.id)
    assert found is not None
    assert (found.text, found.audited_label, found.stage) == ("", "tech", "static_linear")
