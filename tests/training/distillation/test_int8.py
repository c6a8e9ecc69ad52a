"""int8: kept where it answers as well, thrown away where it does not, run only where it is requested."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from classifier import Classifier, seal_bundle
from classifier.errors import BundleDamaged
from classifier.precision import INT8_FILE
from tests import golden_messages as messages
from training.config.network import Int8Config
from training.data import Part, Splits
from training.evaluation.cost import cost_of
from training.export.quantize import add_int8
from training.export.read_back import read_tokenizer


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
    check = add_int8(folder, Int8Config(max_f1_loss=1.0), texts)
    assert check.passed
    model = Classifier.load(folder, verify=False, model_file=INT8_FILE)
    whole = Classifier.load(folder, verify=False)
    found, expected = model.predict(texts.texts), whole.predict(texts.texts)
    # What is reported is what the file does on these texts, whatever this random network makes of rounding.
    assert check.agreement == (found.argmax(axis=1) == expected.argmax(axis=1)).mean()
    assert check.max_difference == np.abs(found - expected).max() > 0
    assert (check.f1_loss == 0) == (check.agreement == 1)
    assert model.description.temperature == whole.description.temperature
    assert cost_of(model, texts.texts[:2]).megabytes < 0.6 * cost_of(whole, texts.texts[:2]).megabytes


# -- the same on every processor --------------------------------------------------------------------------------------


def _integer_products(
    folder: Path,
) -> tuple[onnxruntime.InferenceSession, list[onnx.NodeProto], dict[str, NDArray]]:
    """The int8 network with inputs and outputs of its integer products as outputs, those products, and its weights."""
    model = onnx.load(str(folder / INT8_FILE))
    products = [node for node in model.graph.node if node.op_type == "MatMulInteger"]
    shown: dict[str, int] = {}
    for node in products:
        shown |= {
            node.input[0]: TensorProto.UINT8,
            node.input[2]: TensorProto.UINT8,
            node.output[0]: TensorProto.INT32,
        }
    model.graph.output.extend(helper.make_tensor_value_info(name, kind, None) for name, kind in shown.items())
    options = onnxruntime.SessionOptions()
    # Not fused with their neighbours, so that the integers can be seen; the kernel of the product is the same.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return session, [node for node in products if node.input[1] in weights], weights


@pytest.mark.parametrize("texts", [1, 8], ids=["one text", "a batch"])
def test_integer_products_of_real_activations_are_exact(folder: Path, splits: Splits, texts: int) -> None:
    add_int8(folder, Int8Config(max_f1_loss=1.0), _own_answers(folder, splits))
    session, products, weights = _integer_products(folder)
    batch = read_tokenizer(folder)(
        splits.test.texts[:texts], truncation=True, max_length=48, padding=True, return_tensors="np"
    )
    feeds = {item.name: batch[item.name].astype(np.int64) for item in session.get_inputs()}
    found = dict(zip([item.name for item in session.get_outputs()], session.run(None, feeds), strict=True))
    assert len(products) >= 6, "the four of attention and the two of the feed-forward layers"
    for node in products:
        activations, zero = (found[node.input[place]].astype(np.int64) for place in (0, 2))
        # Symmetric, and at most 64: two products of them with 255 fit into 16 bits, in which AVX2 adds them.
        assert not weights[node.input[3]].any()
        assert np.abs(weights[node.input[1]].astype(np.int64)).max() == 64
        exact = (activations - zero) @ weights[node.input[1]].astype(np.int64)
        assert np.array_equal(found[node.output[0]], exact), node.name


def test_the_largest_product_of_such_weights_is_exact() -> None:
    """Sums of 255 × ±64, the extremes, over as many terms as no network here has; for one row and for many."""
    terms, columns = 4096, 33
    weights = np.full((terms, columns), 64, dtype=np.int8)
    weights[:, ::2] = -64
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["activations", "weights"], ["product"])],
        "product",
        [helper.make_tensor_value_info("activations", TensorProto.UINT8, ["rows", terms])],
        [helper.make_tensor_value_info("product", TensorProto.INT32, ["rows", columns])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for rows in (1, 7):
        (found,) = session.run(None, {"activations": np.full((rows, terms), 255, dtype=np.uint8)})
        assert np.array_equal(found, np.tile(255 * terms * weights[0].astype(np.int64), (rows, 1)))


def test_a_bad_one_is_not_kept(folder: Path, splits: Splits) -> None:
    path = folder / "model.onnx"
    model = onnx.load(str(path))
    normalised = {node.output[0] for node in model.graph.node if node.op_type == "LayerNormalization"}
    read_by = {
        node.input[1]
        for node in model.graph.node
        if node.op_type in {"MatMul", "Gemm"} and node.input[0] in normalised
    }
    assert read_by
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
    with pytest.raises(BundleDamaged, match=messages.FILE_OUTSIDE_BUNDLE):
        Classifier.load(folder, verify=False, model_file="../model.onnx")
