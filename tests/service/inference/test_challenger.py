"""The challenger: its opinion in the champion's shadow, its share of the requests, and no harm if it fails."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.engine import Engine
from service.inference.challenger import Agreement, AgreementCounter, LabelAgreement, Shadow, in_canary
from service.inference.jobs import Answer
from service.settings import ServiceSettings
from stores.predictions import PredictionStore
from stores.registry import ModelRegistry
from stores.settings import PredictionSettings, SigningSettings, TrackingSettings
from tests.support.bundles import registered
from tests.support.engines import Trained, asgi_client, running_engine, served, tracking_in

TEXTS = [f"The minister answered question {number} about taxes and the budget." for number in range(30)]


@pytest.fixture(scope="module")
def registry(bundle: Path, second_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> ModelRegistry:
    """Version 1 is champion, version 2 challenger."""
    registry = ModelRegistry(tracking_in(tmp_path_factory.mktemp("challenged")))
    registered(registry, bundle)
    registry.challenge(registered(registry, second_bundle, promote=False).version)
    return registry


@contextmanager
def engine_of(tracking: TrackingSettings, var_dir: Path, **settings: Any) -> Iterator[Engine]:
    """An engine that follows a registry."""
    engine = Engine(
        ServiceSettings(**{"poll_seconds": 0.05, "cache_bytes": 0, **settings}),
        tracking,
        PredictionSettings(var_dir=var_dir),
        SigningSettings(),
    )
    engine.start()
    try:
        yield engine
    finally:
        engine.stop()


async def until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


def test_a_key_keeps_its_model_and_the_share_is_kept():
    keys = [f"client-{number}" for number in range(2000)]
    small = {key for key in keys if in_canary(key, "m-2", 0.1)}
    large = {key for key in keys if in_canary(key, "m-2", 0.3)}
    assert 150 < len(small) < 250
    assert small < large
    assert small != {key for key in keys if in_canary(key, "m-3", 0.1)}
    assert not any(in_canary(key, "m-2", 0.0) for key in keys)
    assert all(in_canary(key, "m-2", 1.0) for key in keys)


def test_agreement_is_counted_by_label_and_for_each_pair():
    counter = AgreementCounter()
    counter.add(("a", "b"), ["tech", "tech", "sports"], ["tech", "sports", "sports"])
    assert counter.of(("a", "b")) == Agreement(
        3, 2, {"sports": LabelAgreement(1, 1), "tech": LabelAgreement(2, 1)}
    )
    assert counter.of(("a", "c")) == Agreement()
    counter.add(("a", "c"), ["tech"], ["tech"])
    assert counter.of(("a", "b")) == Agreement()
    assert counter.of(("a", "c")).texts == 1


def test_what_waits_for_spare_time_is_bounded(classifier):
    dropped: list[int] = []
    shadow = Shadow(1.0, AgreementCounter(), dropped=dropped.append)
    model = served(classifier)
    answers = [Answer("id", [("tech", 1.0)], 1, truncated=False)] * 300
    assert shadow.offer(model, served(classifier, "2"), ["text"] * 300, answers)
    assert sum(dropped) == 300 - 256
    assert not Shadow(0.0, AgreementCounter()).offer(model, model, ["text"], answers[:1])
    assert not shadow.offer(model, None, ["text"], answers[:1])


def test_the_shadow_says_where_it_agrees_and_answers_nobody(registry, tmp_path):
    async def story() -> None:
        with engine_of(registry.settings, tmp_path, shadow_rate=1.0) as engine:
            await until(lambda: engine.ready and engine.challenger)
            async with asgi_client(engine) as client:
                response = await client.post("/classify", json={"text": TEXTS})
                assert response.json()["model"]["alias"] == "champion"
                challenger = engine.challenger
                assert challenger is not None
                await until(lambda: engine.agreement(challenger).texts == len(TEXTS))
                card = (await client.get("/model")).json()["challenger"]
                given = [item["label"] for item in response.json()["predictions"]]
                other = challenger.classifier.predict(TEXTS).argmax(axis=1)
                agreed = sum(
                    challenger.classifier.labels[column] == label
                    for column, label in zip(other, given, strict=True)
                )
                assert (card["version"], card["texts"], card["agreed"]) == ("2", len(TEXTS), agreed)
                assert sum(label["texts"] for label in card["labels"].values()) == len(TEXTS)
                metrics = (await client.get("/metrics")).text
                assert "champion_shadow_texts_total{" in metrics
                assert 'champion_challenger_info{model="news",version="2"} 1.0' in metrics
                # The shadow's answers are nobody's predictions.
                store = PredictionStore.open(PredictionSettings(var_dir=tmp_path).url)
                assert store.count(0, time.time() + 1) == len(TEXTS)
                store.close()

    asyncio.run(story())


def test_the_canary_answers_its_share_and_says_so(registry, tmp_path):
    async def story() -> None:
        with engine_of(registry.settings, tmp_path, canary_share=0.5) as engine:
            await until(lambda: engine.ready and engine.challenger)
            async with asgi_client(engine) as client:
                seen: dict[str, set[str]] = {}
                for _ in range(2):
                    for number in range(20):
                        key = f"client-{number}"
                        body = {"text": f"The striker scored {number} goals."}
                        response = await client.post("/classify", json=body, headers={"X-Sticky-Key": key})
                        model = response.json()["model"]
                        assert (model["version"], model["alias"]) in {("1", "champion"), ("2", "challenger")}
                        seen.setdefault(key, set()).add(model["version"])
                assert all(len(versions) == 1 for versions in seen.values()), "a key keeps its model"
                assert set.union(*seen.values()) == {"1", "2"}

    asyncio.run(story())


def test_a_promoted_challenger_is_champion_for_everybody(bundle, second_bundle, tmp_path):
    registry = ModelRegistry(tracking_in(tmp_path))
    registered(registry, bundle)

    async def story() -> None:
        with engine_of(registry.settings, tmp_path, canary_share=0.5, shadow_rate=1.0) as engine:
            await until(lambda: engine.ready)
            assert engine.challenger is None
            async with asgi_client(engine) as client:
                assert (await client.get("/model")).json()["challenger"] is None
                version = registered(registry, second_bundle, promote=False).version
                registry.challenge(version)
                await until(lambda: engine.challenger)
                registry.promote(version)
                await until(lambda: engine.model().version == version and engine.challenger is None)
                answers = [await client.post("/classify", json={"text": text}) for text in TEXTS[:8]]
                assert {answer.json()["model"]["alias"] for answer in answers} == {"champion"}

    asyncio.run(story())


def test_a_broken_challenger_does_not_affect_answers(bundle, tmp_path):
    async def story() -> None:
        with running_engine(bundle, tmp_path, shadow_rate=1.0) as (engine, model):
            broken = Trained(model)
            challenger = served(broken, "2")

            class Follower:
                served = challenger

                def stop(self, _timeout: float) -> None:
                    return None

            engine._challenger = Follower()
            async with asgi_client(engine) as client:
                poison = await client.post("/classify", json={"text": "fine for the champion"})
                assert poison.status_code == 200
                await until(lambda: broken.batches)
                broken.infer_staged = None  # type: ignore[assignment,method-assign]
                for text in TEXTS[:5]:
                    assert (await client.post("/classify", json={"text": text})).status_code == 200
                await until(lambda: not engine._shadow.pending)
                assert (await client.get("/livez")).status_code == 200
                assert json.loads((await client.get("/model")).text)["version"] == "folder"

    asyncio.run(story())
