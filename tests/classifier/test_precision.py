"""float32 or int8: what was measured decides, unless somebody asks for one of them."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from classifier import BundleDamaged, BundleIncomplete, Classifier, GoldenMismatch
from classifier.manifest import write_manifest
from classifier.precision import FLOAT32_FILE, INT8_FILE, load_fastest
from tests.support.bundles import bbc_part


@pytest.fixture
def both(network_bundle: Path, caplog: pytest.LogCaptureFixture) -> Path:
    """A bundle that holds its network in float32 and in int8."""
    caplog.set_level(logging.ERROR)  # it advises a step that changes nothing here
    model = onnx.load(str(network_bundle / FLOAT32_FILE))
    quantize_dynamic(model, str(network_bundle / INT8_FILE), weight_type=QuantType.QInt8, per_channel=True)
    write_manifest(network_bundle, data={})
    return network_bundle


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
    assert "times as fast" in chosen.reason


def test_int8_on_request_is_another_computation_of_the_same_model(both: Path) -> None:
    texts = bbc_part(2)[0][:8]
    exact = load_fastest(both, precision="float32")
    rounded = load_fastest(both, precision="int8")
    assert exact.classifier.description.model_file == FLOAT32_FILE
    assert rounded.classifier.description.model_file == INT8_FILE
    assert rounded.classifier.manifest == exact.classifier.manifest
    assert not exact.milliseconds
    difference = np.abs(exact.classifier.predict(texts) - rounded.classifier.predict(texts)).max()
    assert 0 < difference < 0.2


def test_without_int8_there_is_nothing_to_measure(network: Classifier, tfidf: Classifier) -> None:
    for model in (network, tfidf):
        chosen = load_fastest(model.folder)
        assert chosen.classifier.description == model.description
        assert not chosen.milliseconds
        with pytest.raises(BundleIncomplete, match=r"has no model\.int8\.onnx"):
            load_fastest(model.folder, precision="int8")


def test_an_int8_file_that_says_something_else_is_not_run(both: Path) -> None:
    _turned_round(both)
    chosen = load_fastest(both)
    assert chosen.classifier.description.model_file == FLOAT32_FILE
    assert "calls a golden text something else: text 0 is " in chosen.reason
    with pytest.raises(GoldenMismatch, match="text 0 is "):
        load_fastest(both, precision="int8")


def test_an_int8_file_is_verified_like_any_other(both: Path) -> None:
    path = both / INT8_FILE
    path.write_bytes(path.read_bytes() + b"more")
    with pytest.raises(BundleDamaged, match=INT8_FILE):
        load_fastest(both, precision="int8")
