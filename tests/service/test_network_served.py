"""A network behind the face: truncation, and the right answer for everybody however texts are batched."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from classifier import Classifier
from service.champion import ChampionFollower
from stores.settings import SigningSettings, TrackingSettings
from tests.support.bundles import bbc_part
from tests.support.engines import face_of, running_engine
from tests.support.networks import sealed_network_bundle

pytestmark = pytest.mark.slow  # exports a network


@pytest.fixture(scope="module")
def network_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("networks") / "news"
    sealed_network_bundle(folder)
    return folder


def test_a_text_above_the_maximum_is_cut_or_refused_as_asked(network_bundle, tmp_path):
    long = bbc_part(3)[0][0]

    async def story() -> None:
        with running_engine(network_bundle, tmp_path) as (engine, model):
            async with face_of(engine) as client:
                cut = (await client.post("/classify", json={"text": ["short", long]})).json()["predictions"]
                assert [prediction["truncated"] for prediction in cut] == [False, True]
                assert cut[1]["tokens"] > model.max_length
                body = {"text": ["short", "also short", long], "on_too_long": "error"}
                refused = await client.post("/classify", json=body)
                assert refused.status_code == 422
                error = refused.json()["error"]
                assert (error["code"], error["field"]) == ("text_too_long", "text[2]")
                assert (
                    f"{cut[1]['tokens']} tokens, and the model reads {model.max_length}" in error["message"]
                )
                single = await client.post("/classify", json={"text": long, "on_too_long": "error"})
                assert single.json()["error"]["field"] == "text"
                engine._batcher.reserve(engine.settings.queue_texts)  # a refused request leaves its room

    asyncio.run(story())


def test_everybody_gets_the_answer_of_their_own_text(network_bundle, tmp_path):
    """Mixed lengths, single and list requests, all at once: what the model says of each text by itself."""
    texts = [text[: 30 + 37 * (number % 20)] for number, text in enumerate(bbc_part(4)[0][:120])]
    alone = Classifier.load(network_bundle)
    expected = np.concatenate([alone.predict([text]) for text in texts])

    async def story() -> None:
        with running_engine(network_bundle, tmp_path, batch_tokens=512) as (engine, model):
            async with face_of(engine) as client:
                sizes = [1, 1, 7, 1, 2] * 10
                starts = np.cumsum([0, *sizes])[: len(sizes)]
                calls = [
                    client.post("/classify", json={"text": texts[start : start + size]})
                    for start, size in zip(starts, sizes, strict=True)
                ]
                responses = await asyncio.gather(*calls)
                for response, start in zip(responses, starts, strict=True):
                    assert response.status_code == 200
                    for offset, prediction in enumerate(response.json()["predictions"]):
                        given = {score["label"]: score["score"] for score in prediction["scores"]}
                        row = [given[label] for label in model.labels]
                        np.testing.assert_allclose(row, expected[start + offset], atol=1e-4)
                assert any(len(batch) > 1 for batch in model.batches), (
                    "texts of several clients shared batches"
                )

    asyncio.run(story())


def test_a_device_that_is_not_there_is_said_and_nothing_else_is_served(network_bundle, tmp_path):
    """The follower does not quietly compute on the processor."""
    follower = ChampionFollower(
        TrackingSettings(var_dir=tmp_path, model_uri=str(network_bundle)),
        SigningSettings(),
        poll_seconds=0.1,
        device="cuda",
    )
    follower.poll()
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers() and follower.served:
        assert follower.served.classifier.device == "cuda"
    else:
        assert follower.served is None
        assert "the device cuda is asked for" in str(follower.following.problem)
