"""Cached answers: bounded, separate for each model, and never instead of logging."""

from __future__ import annotations

import asyncio

import numpy as np

from service.inference.cache import AnswerCache, CachedAnswer
from tests.support.engines import asgi_client, running_engine


def known(number: float = 0.5) -> CachedAnswer:
    return CachedAnswer(np.asarray([number, 1 - number], dtype=np.float32), 3, truncated=False)


def test_the_least_recently_asked_is_forgotten_first():
    probe = AnswerCache(10_000)
    probe.put("m", "one", known())
    cache = AnswerCache(2 * probe.bytes)
    cache.put("m", "one", known(0.1))
    cache.put("m", "two", known(0.2))
    assert cache.get("m", "one") is not None  # now "two" is the one asked longest ago
    cache.put("m", "three", known(0.3))
    assert cache.get("m", "two") is None
    assert cache.get("m", "one") is not None
    assert cache.bytes == 2 * probe.bytes


def test_an_answer_given_anew_replaces_the_old_one_and_its_size():
    cache = AnswerCache(10_000)
    cache.put("m", "one", known(0.1))
    size = cache.bytes
    cache.put("m", "one", known(0.9))
    assert cache.bytes == size
    found = cache.get("m", "one")
    assert found is not None
    assert found.probabilities[0] == np.float32(0.9)


def test_models_do_not_share_answers():
    cache = AnswerCache(10_000)
    cache.put("old", "text", known())
    assert cache.get("new", "text") is None


def test_all_or_nothing_and_only_what_was_used_is_counted():
    counted: list[int] = []
    cache = AnswerCache(10_000, observe=counted.append)
    cache.put("m", "one", known())
    cache.put("m", "two", known())
    assert cache.get_all("m", ["one", "other"]) is None
    assert counted == []
    found = cache.get_all("m", ["one", "two", "one"])
    assert found is not None
    assert len(found) == 3
    assert counted == [3]


def test_no_room_keeps_nothing():
    cache = AnswerCache(0)
    cache.put("m", "one", known())
    assert cache.get("m", "one") is None
    assert cache.get_all("m", ["one"]) is None
    assert cache.bytes == 0


def test_a_repeated_text_is_logged_but_not_computed_again(bundle, tmp_path):
    async def story() -> None:
        with running_engine(bundle, tmp_path) as (engine, model):
            async with asgi_client(engine) as client:
                first = await client.post("/classify", json={"text": "The striker scored twice."})
                again = await client.post("/classify", json={"text": "The striker scored twice.", "top_k": 1})
                assert model.batches == [["The striker scored twice."]]
                one, two = first.json()["predictions"][0], again.json()["predictions"][0]
                assert one["id"] != two["id"]
                assert (one["label"], one["score"], one["tokens"]) == (
                    two["label"],
                    two["score"],
                    two["tokens"],
                )
                assert len(two["scores"]) == 1
                labels = [{"id": one["id"], "label": "sports"}, {"id": two["id"], "label": "sports"}]
                feedback = await client.post("/feedback", json={"feedback": labels})
                assert feedback.json() == {"accepted": 2, "unknown": []}
                figures = (await client.get("/metrics")).text
                assert "champion_cache_hits_total 1.0" in figures

    asyncio.run(story())


def test_equal_texts_that_wait_are_computed_once(bundle, tmp_path):
    async def story() -> None:
        with running_engine(bundle, tmp_path) as (engine, model):
            async with asgi_client(engine) as client:
                model.free.clear()
                held = asyncio.create_task(client.post("/classify", json={"text": "same text"}))
                await asyncio.to_thread(model.entered.wait, 10)
                waiting = [
                    asyncio.create_task(client.post("/classify", json={"text": text}))
                    for text in ("same text", "new text", "new text", "new text")
                ]
                while engine._batcher.queued < 4:
                    await asyncio.sleep(0.01)
                model.free.set()
                answers = [await task for task in (held, *waiting)]
                assert [answer.status_code for answer in answers] == [200] * 5
                assert len({answer.json()["predictions"][0]["id"] for answer in answers}) == 5
                computed = [text for batch in model.batches for text in batch]
                assert sorted(computed) == ["new text", "same text"]

    asyncio.run(story())


def test_timings_are_in_the_answer_and_in_the_metrics(bundle, tmp_path):
    async def story() -> None:
        with running_engine(bundle, tmp_path) as (engine, _model):
            async with asgi_client(engine) as client:
                for _ in range(2):  # computed, then known
                    response = await client.post("/classify", json={"text": ["one text", "and another"]})
                    stages = dict(
                        part.split(";dur=") for part in response.headers["server-timing"].split(", ")
                    )
                    assert list(stages) == ["tokenise", "queue", "infer", "log"]
                    assert all(float(value) >= 0 for value in stages.values())
                assert float(stages["infer"]) == 0, "what is known is not computed"
                figures = (await client.get("/metrics")).text
                for stage in stages:
                    assert f'champion_stage_seconds_count{{stage="{stage}"}} 2.0' in figures

    asyncio.run(story())
