"""A cascade in service: early answers wait for nothing, the others are batched, and audits compare the two."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from classifier import Classifier
from service.inference.audit import CascadeAudit, CascadeCounts
from service.inference.jobs import Answer
from stores.predictions import PredictionStore
from stores.predictions.audits import audited_answers
from stores.settings import PredictionSettings
from tests.support.bundles import bbc_part
from tests.support.cascades import EARLY, FIRST, LAST, LATE, sealed_cascade
from tests.support.engines import Trained, asgi_client, running_engine, served


async def until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


async def stages_of(client: httpx.AsyncClient, text: str | list[str]) -> list[str]:
    response = await client.post("/classify", json={"text": text})
    assert response.status_code == 200, response.text
    return [item["stage"] for item in response.json()["predictions"]]


def stored(var_dir: Path) -> list[Any]:
    store = PredictionStore.open(PredictionSettings(var_dir=var_dir).url)
    try:
        return store.window(0, time.time() + 1)
    finally:
        store.close()


def test_early_answers_need_no_room_in_the_queue(cascade_bundle, tmp_path):
    async def story() -> None:
        with running_engine(cascade_bundle, tmp_path, queue_texts=1, max_texts=1, cascade_audit_rate=0.0) as (
            engine,
            model,
        ):
            async with asgi_client(engine) as client:
                model.free.clear()
                computed = asyncio.ensure_future(stages_of(client, LATE))
                await until(model.entered.is_set)
                queued = asyncio.ensure_future(stages_of(client, f"{LATE} Or not."))
                await until(lambda: engine._batcher.queued == 1)
                refused = await client.post("/classify", json={"text": f"{LATE} Perhaps."})
                assert refused.status_code == 429
                assert await stages_of(client, EARLY) == [FIRST]
                model.free.set()
                assert await computed == await queued == [LAST]

    asyncio.run(story())


def test_overload_raises_early_answers_within_the_stated_loss(tmp_path):
    sealed_cascade(tmp_path / "bundle", relaxed=0.01)

    async def story(loss: float, expected: str) -> None:
        folder = tmp_path / f"loss-{loss}"
        settings = {"queue_texts": 2, "cascade_overload_loss": loss, "cascade_audit_rate": 1.0}
        with running_engine(tmp_path / "bundle", folder, max_texts=2, **settings) as (engine, model):
            async with asgi_client(engine) as client:
                assert await stages_of(client, LATE) == [LAST], "nothing waits"
                model.free.clear()
                model.entered.clear()
                computed = asyncio.ensure_future(stages_of(client, f"{LATE} Or not."))
                await until(model.entered.is_set)
                queued = asyncio.ensure_future(stages_of(client, [f"{LATE} Soon.", f"{LATE} Then."]))
                await until(lambda: engine._batcher.queued == 2)
                crowded = await client.post("/classify", json={"text": f"{LATE} Perhaps."})
                if expected == FIRST:
                    assert crowded.json()["predictions"][0]["stage"] == FIRST
                else:
                    assert crowded.status_code == 429
                model.free.set()
                assert await computed == [LAST]
                assert await queued == [LAST, LAST]
                metrics = (await client.get("/metrics")).text
                assert f"champion_cascade_relaxed_texts_total {float(expected == FIRST)}" in metrics
        assert engine.cascade_counts(model_of(engine)).audited == 0

    def model_of(engine: Any) -> Any:
        return engine.champion.served

    asyncio.run(story(0.0, LAST))
    asyncio.run(story(0.01, LAST))  # the bundle has thresholds for 0.02 only
    asyncio.run(story(0.02, FIRST))


def test_a_mixed_request_is_answered_as_in_process(cascade_bundle, tmp_path):
    long = bbc_part(3)[0][:12]  # tokenised in a thread
    for number, texts in enumerate(([EARLY, LATE, f"{EARLY} Again.", f"{LATE} Again."], [*long, LATE])):
        with running_engine(cascade_bundle, tmp_path / str(number), cascade_audit_rate=0.0) as (
            engine,
            model,
        ):

            async def story(texts: list[str] = texts, engine: Any = engine, model: Trained = model) -> None:
                expected = model.classify(texts)
                async with asgi_client(engine) as client:
                    response = await client.post("/classify", json={"text": texts})
                answers = response.json()["predictions"]
                names = [model.stages[stage] for stage in expected.stages]
                assert {FIRST, LAST} <= set(names)
                assert [answer["stage"] for answer in answers] == names
                best = [model.labels[column] for column in expected.probabilities.argmax(axis=1)]
                assert [answer["label"] for answer in answers] == best
                np.testing.assert_allclose(
                    [answer["score"] for answer in answers], expected.probabilities.max(axis=1), atol=2e-6
                )

            asyncio.run(story())
            assert {row.text: row.stage for row in stored(tmp_path / str(number))} == {
                text: model.stages[stage]
                for text, stage in zip(texts, model.classify(texts).stages, strict=True)
            }


def test_a_cached_answer_keeps_its_stage(cascade_bundle, tmp_path):
    async def story() -> None:
        with running_engine(cascade_bundle, tmp_path, cascade_audit_rate=0.0) as (engine, model):
            async with asgi_client(engine) as client:
                assert await stages_of(client, LATE) == [LAST]
                assert await stages_of(client, LATE) == [LAST]
                assert await stages_of(client, [EARLY, LATE]) == [FIRST, LAST]
                assert "champion_cache_hits_total 2.0" in (await client.get("/metrics")).text
        assert model.batches == [[LATE]]

    asyncio.run(story())
    assert sorted(row.stage for row in stored(tmp_path)) == [FIRST, *[LAST] * 3]


def test_an_early_answer_is_the_same_alone_and_in_a_batch(cascade_bundle):
    classifier = Classifier.load(cascade_bundle)
    early, late = classifier.encode([EARLY, LATE])
    together, stages = classifier.infer_staged([early, late])
    assert stages.tolist() == [0, 1]
    alone, stage = classifier.infer_staged([early])
    assert stage.tolist() == [0]
    np.testing.assert_allclose(alone[0], together[0], atol=1e-7)


def test_early_answers_take_the_batcher_while_the_log_is_behind(cascade_bundle, tmp_path):
    async def story() -> None:
        with running_engine(cascade_bundle, tmp_path, cascade_audit_rate=0.0) as (engine, _):
            engine._log.offer = lambda _: False  # type: ignore[method-assign]
            async with asgi_client(engine) as client:
                assert await stages_of(client, [EARLY, LATE]) == [FIRST, LAST]
                assert engine._batcher._reserved == 0

    asyncio.run(story())


def test_a_draining_service_refuses_texts_of_an_early_stage(cascade_bundle, tmp_path):
    async def story() -> None:
        with running_engine(cascade_bundle, tmp_path, cascade_audit_rate=0.0) as (engine, _):
            async with asgi_client(engine) as client:
                engine.draining = True
                assert (await client.post("/classify", json={"text": EARLY})).status_code == 503

    asyncio.run(story())


def test_audits_are_counted_shown_and_stored(cascade_bundle, tmp_path):
    texts = [f"{EARLY} It was goal number {number}." for number in range(20)]

    async def story() -> None:
        with running_engine(cascade_bundle, tmp_path, cascade_audit_rate=1.0) as (engine, model):
            async with asgi_client(engine) as client:
                assert await stages_of(client, [*texts, LATE]) == [*[FIRST] * 20, LAST]
                await until(lambda: engine.cascade_counts(engine.model()).audited == 20)
                card = (await client.get("/model")).json()["cascade"]
                assert card["texts"] == {FIRST: 20, LAST: 1}
                assert card["early_share"] == 20 / 21
                whole = model.predict(texts, all_stages=True).argmax(axis=1)
                agreed = int((whole == model.classify(texts).probabilities.argmax(axis=1)).sum())
                assert (card["audited"], card["agreed"]) == (20, agreed)
                assert card["agreement"]["low"] < card["agreement"]["value"] == agreed / 20
                metrics = (await client.get("/metrics")).text
                assert f'champion_cascade_texts_total{{stage="{FIRST}",version="folder"}} 20.0' in metrics
                assert 'champion_cascade_early_texts_total{version="folder"} 20.0' in metrics
                assert (
                    f'champion_cascade_audited_total{{agreed="true",version="folder"}} {agreed}.0' in metrics
                )

    asyncio.run(story())
    store = PredictionStore.open(PredictionSettings(var_dir=tmp_path).url)
    audits = audited_answers(
        store, 0, time.time() + 1, model_name="news-cascade", model_version="folder", size=100
    )
    store.close()
    assert len(audits) == 20
    assert {row.text for row in stored(tmp_path) if row.audited_label is not None} == set(texts)


def test_traffic_of_other_sources_is_not_audited(cascade_bundle, tmp_path):
    async def story() -> None:
        with running_engine(cascade_bundle, tmp_path, cascade_audit_rate=1.0) as (engine, _):
            async with asgi_client(engine) as client:
                await client.post("/classify", json={"text": EARLY}, headers={"X-Source": "load"})
                assert not engine._audit.pending
                counts = engine.cascade_counts(engine.model())
                assert (counts.stages[FIRST], counts.audited) == (1, 0)

    asyncio.run(story())


def test_a_failing_audit_harms_no_request(cascade_bundle, tmp_path):
    async def story() -> None:
        with running_engine(cascade_bundle, tmp_path, cascade_audit_rate=1.0) as (engine, model):
            model.predict = None  # type: ignore[assignment,method-assign]
            async with asgi_client(engine) as client:
                for number in range(3):
                    assert await stages_of(client, f"{EARLY} {number}") == [FIRST]
                await until(lambda: not engine._audit.pending)
                assert (await client.get("/livez")).status_code == 200

    asyncio.run(story())


def test_audits_beyond_the_limit_are_dropped(cascade_bundle, tmp_path):
    with running_engine(cascade_bundle, tmp_path, cascade_audit_rate=0.0) as (_, model):
        dropped: list[int] = []
        audit = CascadeAudit(1.0, dropped=dropped.append)
        answers = [Answer(str(number), [("sports", 0.9)], 5, False, FIRST) for number in range(300)]
        late = [Answer("late", [("sports", 0.9)], 5, False, LAST)]
        assert audit.offer(served(model), [EARLY] * 300, answers)
        assert not audit.offer(served(model), [LATE], late)
        assert dropped == [44]


def test_the_interval_of_agreement_is_wilsons():
    # Table I of Newcombe (1998), Statistics in Medicine 17, 857-872: 81 of 263, and 0 of 20.
    for agreed, audited, low, high in ((81, 263, 0.2553, 0.3662), (0, 20, 0.0, 0.1611)):
        found = CascadeCounts(audited=audited, agreed=agreed).agreement
        assert found is not None
        np.testing.assert_allclose(found, (agreed / audited, low, high), atol=5e-5)
    assert CascadeCounts().agreement is None
