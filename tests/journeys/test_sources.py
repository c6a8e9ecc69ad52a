"""What is no traffic changes no verdict and teaches no retraining, though it comes over the same HTTP face."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from monitoring.champion import find_champion
from monitoring.check import evaluate_window
from monitoring.commands.queue import draw
from monitoring.errors import MonitoringError
from monitoring.settings import MonitoringSettings
from monitoring.verdict import OtherSource, Verdict
from stores.predictions import PredictionStore
from stores.registry import ModelRegistry
from stores.settings import SigningSettings
from tests import golden_messages as messages
from tests.support.bundles import bbc_part, registered, sealed_tfidf_bundle
from tests.support.engines import tracking_in
from tests.support.postgres import new_database, postgres_server
from tests.support.servers import Server, serving
from training.config.data import LiveConfig
from training.data.live import stored_rows

pytestmark = [pytest.mark.slow, pytest.mark.journey]


@pytest.fixture(params=["sqlite", "postgresql"])
def predictions_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'predictions.db'}"
        return
    with postgres_server() as server, new_database(server) as address:
        yield address


def send(server: Server, texts: Sequence[str], labels: Sequence[str], source: str | None) -> list[str]:
    """Classify texts and give labels for the first of them; ids."""
    headers = {} if source is None else {"X-Source": source}
    with server.client(headers=headers) as client:
        answer = client.post("/classify", json={"text": list(texts)})
        answer.raise_for_status()
        ids = [row["id"] for row in answer.json()["predictions"]]
        label(client, dict(zip(ids, labels, strict=False)))
    return ids


def label(client: Any, labels: dict[str, str]) -> None:
    items = [{"id": id_, "label": given} for id_, given in labels.items()]
    client.post("/feedback", json={"feedback": items}).raise_for_status()


def without_notes(verdict: Verdict) -> dict[str, Any]:
    found = verdict.model_dump(exclude={"checked_at", "notes"})
    del found["window"]["other_sources"], found["window"]["until"]
    # They follow the window's length, which grows with the time.
    del found["alarm"]["at_once_alpha"], found["alarm"]["repeated_alpha"]
    return found


def test_load_and_page_change_no_verdict_and_no_training_texts(
    predictions_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import numpy as np

    monkeypatch.setenv("PREDICTIONS_URL", predictions_url)
    bundle, var = tmp_path / "bundle", tmp_path / "var"
    sealed_tfidf_bundle(bundle)
    tracking = tracking_in(var)
    registry = ModelRegistry(tracking)
    registered(registry, bundle)
    champion = find_champion(registry, tracking, SigningSettings())
    settings = MonitoringSettings(monitoring_permutations=999, var_dir=var)
    texts, topics = bbc_part(2)
    texts, topics = texts[:120], topics[:120]
    began = time.time()
    store = PredictionStore.open(predictions_url)

    def verdict(**changes: Any) -> Verdict:
        changed = settings.model_copy(update=changes)
        return evaluate_window(store, champion, began, time.time() + 1, changed).verdict

    with serving(var, {"PREDICTIONS_URL": predictions_url}) as server:
        ids = send(server, texts, topics[:60], None)
        before = verdict()
        live = stored_rows(LiveConfig())
        assert before.window.predictions == 120
        assert before.accuracy.labelled == 60
        assert len(live) == 60

        # A load test that sends something else many times, calls all of it sports, and the real answers as well.
        strange = [f"{text[:200]} zzz qqq {number}".upper() for number, text in enumerate(texts)]
        send(server, strange, ["sports"] * len(strange), "load")
        with server.client(headers={"X-Source": "load"}) as client:
            label(client, dict.fromkeys(ids, "sports"))
        send(server, ["Somebody tries out the page.", "And once more."], ["tech"], "ui")
        after = verdict()

    assert without_notes(after) == without_notes(before)
    assert stored_rows(LiveConfig()) == live
    others = {found.source: found for found in after.window.other_sources}
    assert set(others) == {"load", "ui"}
    assert (others["load"].predictions, others["load"].labelled) == (120, 120)
    assert others["ui"] == OtherSource(source="ui", predictions=2, labelled=1, correct=others["ui"].correct)
    assert after.window.sources == ["api"]
    assert any("120 of load" in note for note in after.notes)

    # Told to, monitoring and training look at other sources.
    told = verdict(traffic_sources="load")
    assert told.window.predictions == 120
    assert told.status == "breach"
    assert len(stored_rows(LiveConfig(sources=("ui",)))) == 1
    monkeypatch.setenv("TRAFFIC_SOURCES", "api,ui")
    assert len(stored_rows(LiveConfig())) == 61

    batch, chosen, rows = draw(
        store, champion, began, time.time() + 1, size=500, rng=np.random.default_rng(1)
    )
    assert batch.predictions == 120
    assert {rows[item.prediction_id].source for item in chosen} == {"api"}
    with pytest.raises(MonitoringError, match=messages.NO_ANSWER_OF_MODEL):
        draw(store, champion, began, time.time(), size=5, rng=np.random.default_rng(1), sources=["nightly"])
    store.close()
