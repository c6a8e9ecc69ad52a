"""int8: kept where it answers as well, thrown away where it does not, run only where that is asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from classifier import Classifier, seal_bundle
from classifier.precision import INT8_FILE
from training.cost import cost_of
from training.data import Part, Splits
from training.int8 import Int8Config, add_int8


@pytest.fixture
def folder(tmp_path: Path, network_bundle: Path) -> Path:
    return shutil.copytree(network_bundle, tmp_path / "bundle")


def _own_answers(folder: Path, splits: Splits) -> Part:
    """Texts with what the float32 network says of them, so that its macro-F1 is 1."""
    model = Classifier.load(folder, verify=False)
    texts = [*splits.validation.texts, *splits.test.texts]
    return Part(texts, [model.labels[index] for index in model.predict(texts).argmax(axis=1)])


def test_a_good_one_is_kept_and_is_smaller(folder: Path, splits: Splits) -> None:
    texts = _own_answers(folder, splits)
    check = add_int8(folder, Int8Config(max_f1_loss=0.3), texts)
    assert check.passed
    assert check.figures()["int8_agreement"] > 0.8
    assert 0 < check.max_difference < 0.3
    model = Classifier.load(folder, verify=False, model_file=INT8_FILE)
    whole = Classifier.load(folder, verify=False)
    assert model.description.temperature == whole.description.temperature
    assert not np.array_equal(model.predict(texts.texts[:4]), whole.predict(texts.texts[:4]))
    assert cost_of(model, texts.texts[:2]).megabytes < 0.6 * cost_of(whole, texts.texts[:2]).megabytes


def test_a_bad_one_is_not_kept(folder: Path, splits: Splits) -> None:
    path = folder / "model.onnx"
    model = onnx.load(str(path))
    read_by = {
        node.input[1]
        for node in model.graph.node
        if "MatMul" in node.op_type and "LayerNorm" in node.input[0]
    }
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor).copy()
        if tensor.name.endswith("LayerNorm.weight"):
            values[0] = 0.0  # so the first feature is always zero, and a weight that reads it never counts …
        elif tensor.name in read_by and values.ndim == 2:
            values[0, 0] = 1e4  # … but takes the whole scale of eight bits
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, str(path))
    texts = _own_answers(folder, splits)
    check = add_int8(folder, Int8Config(max_f1_loss=0.0, per_channel=False), texts)
    assert not check.passed
    assert check.f1_loss > 0
    assert "not kept" in str(check)
    assert not (folder / INT8_FILE).exists()


def test_a_bundle_that_runs_int8_is_sealed_and_loads(folder: Path, splits: Splits) -> None:
    add_int8(folder, Int8Config(max_f1_loss=1.0), _own_answers(folder, splits))
    description = Classifier.load(folder, verify=False).description.model_copy(
        update={"model_file": INT8_FILE}
    )
    (folder / "manifest.json").unlink()
    sealed = seal_bundle(folder, description, golden_texts=splits.test.texts[:2], data={})
    assert sealed.description.model_file == INT8_FILE
    assert "model.onnx" in sealed.manifest["files"]


def test_only_a_file_of_the_bundle_can_be_run(folder: Path) -> None:
    with pytest.raises(ValueError, match="must be a file of the bundle"):
        Classifier.load(folder, verify=False, model_file="../model.onnx")
