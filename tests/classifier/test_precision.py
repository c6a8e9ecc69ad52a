"""float32 or int8: what was measured decides, unless somebody asks for one of them."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from classifier import BundleDamaged, BundleIncomplete, Classifier, GoldenMismatch
from classifier.int8 import INT8_CHECK_FILE, INT8_TOLERANCE
from classifier.manifest import write_manifest
from classifier.precision import FLOAT32_FILE, INT8_FILE, load_fastest
from tests import golden_messages as messages
from tests.support.bundles import bbc_part
from tests.support.networks import quantise, seal_anew

TEXTS = [text[:300] for text in bbc_part(2)[0][:24]]


@pytest.fixture
def unchecked(network_bundle: Path, caplog: pytest.LogCaptureFixture) -> Path:
    """A bundle that holds its network in float32 and in int8, as bundles were before `int8.json`."""
    caplog.set_level(logging.ERROR)  # quantising advises a step that changes nothing here
    quantise(network_bundle)
    write_manifest(network_bundle, data={})
    return network_bundle


@pytest.fixture
def both(unchecked: Path) -> Path:
    """The same as training seals it today."""
    seal_anew(unchecked, FLOAT32_FILE, TEXTS)
    return unchecked


def _changed(folder: Path, **values: object) -> None:
    """Change limits, or the texts, in `int8.json`."""
    path = folder / INT8_CHECK_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    write_manifest(folder, data={})


def _turned_round(folder: Path) -> None:
    """Make int8 call most probable what is least so."""
    path = folder / INT8_FILE
    model = onnx.load(str(path))
    last = next(node for node in model.graph.node if "logits" in node.output)
    last.output[list(last.output).index("logits")] = "before"
    model.graph.node.append(helper.make_node("Neg", ["before"], ["logits"]))
    onnx.save(model, str(path))
    write_manifest(folder, data={})


def test_the_faster_one_runs(both: Path) -> None:
    chosen = load_fastest(both, threads=1, batch_tokens=256)
    assert set(chosen.milliseconds) == {FLOAT32_FILE, INT8_FILE}
    assert all(found > 0 for found in chosen.milliseconds.values())
    faster = chosen.milliseconds[FLOAT32_FILE] / chosen.milliseconds[INT8_FILE] >= 1.05
    assert chosen.classifier.description.model_file == (INT8_FILE if faster else FLOAT32_FILE)
    assert messages.PRECISION_FASTER in chosen.reason


def test_int8_on_request_computes_the_same_model_differently(both: Path) -> None:
    texts = bbc_part(2)[0][:8]
    exact = load_fastest(both, precision="float32")
    rounded = load_fastest(both, precision="int8")
    assert exact.classifier.description.model_file == FLOAT32_FILE
    assert rounded.classifier.description.model_file == INT8_FILE
    assert rounded.classifier.manifest == exact.classifier.manifest
    assert not exact.milliseconds
    found = rounded.classifier.predict(texts)
    assert np.abs(exact.classifier.predict(texts) - found).max() > 0
    assert np.array_equal(found, Classifier.load(both, model_file=INT8_FILE, golden=False).predict(texts))


def test_without_int8_there_is_nothing_to_measure(network: Classifier, tfidf: Classifier) -> None:
    for model in (network, tfidf):
        chosen = load_fastest(model.folder)
        assert chosen.classifier.description == model.description
        assert not chosen.milliseconds
        with pytest.raises(BundleIncomplete, match=messages.INT8_MISSING):
            load_fastest(model.folder, precision="int8")


@pytest.mark.parametrize("kind", ["both", "unchecked"])
def test_an_int8_file_that_says_something_else_is_not_run(kind: str, request: pytest.FixtureRequest) -> None:
    folder: Path = request.getfixturevalue(kind)
    _turned_round(folder)
    chosen = load_fastest(folder)
    assert chosen.classifier.description.model_file == FLOAT32_FILE
    assert chosen.int8 is not None
    assert not chosen.int8.accepted
    assert not chosen.milliseconds
    assert chosen.int8.agreement < 0.5
    assert str(chosen.int8) in chosen.reason
    with pytest.raises(GoldenMismatch, match=messages.PRECISION_NOT_RUN):
        load_fastest(folder, precision="int8")


def test_what_int8_reached_when_it_was_sealed_is_the_limit(both: Path) -> None:
    sealed = json.loads((both / INT8_CHECK_FILE).read_text())
    float32 = Classifier.load(both).predict(TEXTS)
    int8 = Classifier.load(both, verify=False, model_file=INT8_FILE).predict(TEXTS)
    agreement = float((float32.argmax(axis=1) == int8.argmax(axis=1)).mean())
    difference = float(np.abs(float32 - int8).max())
    assert sealed["min_agreement"] == pytest.approx(agreement - 1 / len(TEXTS))
    assert sealed["max_difference"] == pytest.approx(difference + INT8_TOLERANCE)
    found = load_fastest(both).int8
    assert found is not None
    assert found.accepted
    assert (found.texts, found.agreement) == (len(TEXTS), pytest.approx(agreement))
    assert found.max_difference == pytest.approx(difference, abs=1e-5)


@pytest.mark.parametrize("limit", [{"max_difference": 1e-6}, {"min_agreement": 1.1}])
def test_each_limit_of_the_bundle_decides(both: Path, limit: dict[str, float]) -> None:
    _changed(both, **limit)
    chosen = load_fastest(both)
    assert chosen.classifier.description.model_file == FLOAT32_FILE
    assert chosen.int8 is not None
    assert not chosen.int8.accepted
    with pytest.raises(GoldenMismatch):
        load_fastest(both, precision="int8")
    assert load_fastest(both, precision="float32").int8 is None


def test_a_bundle_that_says_int8_runs_it_or_float32(both: Path) -> None:
    seal_anew(both, INT8_FILE, TEXTS)
    chosen = load_fastest(both)
    assert chosen.classifier.description.model_file == INT8_FILE
    assert not chosen.milliseconds
    assert load_fastest(both, precision="float32").classifier.description.model_file == FLOAT32_FILE
    _turned_round(both)
    with pytest.raises(GoldenMismatch):
        Classifier.load(both)
    assert load_fastest(both).classifier.description.model_file == FLOAT32_FILE
    with pytest.raises(GoldenMismatch):
        load_fastest(both, precision="int8")


def test_float32_is_checked_where_the_bundle_says_int8(both: Path) -> None:
    seal_anew(both, INT8_FILE, TEXTS)
    texts = json.loads((both / INT8_CHECK_FILE).read_text())["texts"]
    texts[0]["probabilities"].reverse()
    _changed(both, texts=texts)
    with pytest.raises(GoldenMismatch, match=messages.FLOAT32_OFF):
        load_fastest(both, precision="float32")


@pytest.mark.parametrize("content", ["no JSON", "{}", '{"texts": []}'])
def test_a_damaged_check_is_refused(both: Path, content: str) -> None:
    (both / INT8_CHECK_FILE).write_text(content)
    write_manifest(both, data={})
    with pytest.raises(BundleDamaged, match=INT8_CHECK_FILE):
        load_fastest(both)


def test_a_bundle_without_float32_cannot_run_it(both: Path) -> None:
    seal_anew(both, INT8_FILE, TEXTS)
    (both / FLOAT32_FILE).unlink()
    write_manifest(both, data={})
    assert load_fastest(both).classifier.description.model_file == INT8_FILE
    with pytest.raises(BundleIncomplete, match=messages.FLOAT32_MISSING):
        load_fastest(both, precision="float32")


def test_an_int8_file_is_verified_like_any_other(both: Path) -> None:
    path = both / INT8_FILE
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(BundleDamaged, match=INT8_FILE):
        load_fastest(both, precision="int8")
