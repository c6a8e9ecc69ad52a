"""The exported graph: what ONNX Runtime makes of it on a processor, and what it says of the machine."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import onnxruntime
import pytest

from training.export.onnx import write_onnx
from training.export.quantize import quantise
from training.models.weights import load_network

pytestmark = pytest.mark.slow
LAYERS = 2


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    network, tokenizer = load_network("random-bert", ("a", "b"), LAYERS)
    network.train(False)
    write_onnx(network, tokenizer, folder / "model.onnx")
    quantise(folder / "model.onnx", folder / "model.int8.onnx", per_channel=True)
    return folder


def _as_run(path: Path) -> Counter[str]:
    """Operators of the graph after ONNX Runtime's own fusions."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns that the optimised file is for this processor
    options.optimized_model_filepath = str(path.with_suffix(".optimised"))
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(options.optimized_model_filepath).graph
    return Counter(node.op_type for node in graph.node)


def test_float32_is_fused_where_that_is_faster(exported: Path) -> None:
    operators = _as_run(exported / "model.onnx")
    assert operators["BiasGelu"] == LAYERS
    assert operators["SkipLayerNormalization"] == 0
    assert operators["LayerNormalization"] == 1 + 2 * LAYERS
    assert operators["FusedMatMul"] == LAYERS, "attention scores with their scale"


def test_int8_multiplies_integers_and_is_fused_alike(exported: Path) -> None:
    operators = _as_run(exported / "model.int8.onnx")
    assert operators["DynamicQuantizeMatMul"] + operators["MatMulIntegerToFloat"] >= 6 * LAYERS
    assert operators["Gelu"] == LAYERS
    assert operators["SkipLayerNormalization"] == 0


def test_the_file_names_no_folder_of_the_machine(exported: Path) -> None:
    content = (exported / "model.onnx").read_bytes()
    assert b"site-packages" not in content
    assert str(Path(__file__).parents[3]).encode() not in content


def test_any_batch_and_length_may_be_given(exported: Path) -> None:
    graph = onnx.load(str(exported / "model.onnx")).graph
    axes = {item.name: [dim.dim_param for dim in item.type.tensor_type.shape.dim] for item in graph.input}
    assert axes["input_ids"] == ["batch", "length"]
    assert {tuple(names) for names in axes.values()} == {("batch", "length")}
