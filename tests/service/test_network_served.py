"""A network behind the face: truncation, and the right answer for followers however texts are batched."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from classifier import Classifier
from classifier.manifest import write_manifest
from service.answers import ModelCard
from service.inference.model_follower import ChampionFollower
from stores.settings import SigningSettings, TrackingSettings
from tests import golden_messages as messages
from tests.support.bundles import bbc_part
from tests.support.engines import asgi_client, running_engine
from tests.support.networks import quantise, seal_anew, sealed_network_bundle

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
            async with asgi_client(engine) as client:
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
            async with asgi_client(engine) as client:
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


def test_a_missing_device_is_reported_and_nothing_is_served(network_bundle, tmp_path):
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
        assert messages.DEVICE_KIND_UNSUITABLE in str(follower.state.problem)


def test_the_model_card_says_how_int8_agrees_with_float32_here(network_bundle, tmp_path):
    folder = Path(shutil.copytree(network_bundle, tmp_path / "both"))
    quantise(folder)
    texts = [text[:200] for text in bbc_part(2)[0][:8]]
    seal_anew(folder, "model.onnx", texts)

    async def card(precision: str) -> dict[str, Any]:
        with running_engine(folder, tmp_path, precision=precision) as (engine, _):
            async with asgi_client(engine) as client:
                return (await client.get("/model")).json()

    asked, forced = asyncio.run(card("int8")), asyncio.run(card("float32"))
    assert (asked["file"], forced["file"], forced["int8"]) == ("model.int8.onnx", "model.onnx", None)
    assert ModelCard.model_validate(asked).int8 is not None
    assert (asked["int8"]["texts"], asked["int8"]["accepted"]) == (len(texts), True)
    float32, int8 = (
        Classifier.load(folder, verify=False, model_file=card["file"]) for card in (forced, asked)
    )
    difference = np.abs(float32.predict(texts) - int8.predict(texts)).max()
    assert asked["int8"]["max_difference"] == pytest.approx(difference, abs=1e-5)


def test_int8_that_differs_is_refused_and_the_card_says_why(network_bundle, tmp_path):
    folder = Path(shutil.copytree(network_bundle, tmp_path / "both"))
    quantise(folder)
    seal_anew(folder, "model.onnx", bbc_part(2)[0][:8])
    limits = json.loads((folder / "int8.json").read_text()) | {"max_difference": 1e-9}
    (folder / "int8.json").write_text(json.dumps(limits))
    write_manifest(folder, data={})
    tracking = TrackingSettings(var_dir=tmp_path, model_uri=str(folder))
    follower = ChampionFollower(tracking, SigningSettings(), poll_seconds=0.1, precision="int8")
    follower.poll()
    assert follower.served is None
    assert messages.PRECISION_INT8_NOT_RUN in str(follower.state.problem)
    auto = ChampionFollower(tracking, SigningSettings(), poll_seconds=0.1)
    auto.poll()
    assert auto.served is not None
    assert auto.served.classifier.description.model_file == "model.onnx"
    assert auto.served.int8 is not None
    assert not auto.served.int8.accepted
