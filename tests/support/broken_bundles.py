"""Bundles that are sealed, hashes and all, and cannot be served: each in another way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from classifier import Description
from classifier.golden import write_golden
from classifier.manifest import write_manifest
from tests.support.bundles import TOPICS
from tests.support.networks import minilm_folder


def endless_network(folder: Path) -> Path:
    """A network whose loop does not end within a lifetime; sealed, with golden texts that were not computed."""
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    folder.mkdir(parents=True)
    condition = helper.make_tensor_value_info("condition_in", TensorProto.BOOL, [])
    condition_out = helper.make_tensor_value_info("condition_out", TensorProto.BOOL, [])
    value = helper.make_tensor_value_info("value_in", TensorProto.FLOAT, None)
    value_out = helper.make_tensor_value_info("value_out", TensorProto.FLOAT, None)
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["condition_in"], ["condition_out"]),
            helper.make_node("Cos", ["value_in"], ["value_out"]),
        ],
        "body",
        [helper.make_tensor_value_info("turn", TensorProto.INT64, []), condition, value],
        [condition_out, value_out],
    )
    constants = {
        "turns": np.array(2**62, dtype=np.int64),
        "go": np.array(True),
        "axis": np.array([1], dtype=np.int64),
        "labels": np.array([[1.0] * len(TOPICS)], dtype=np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["input_ids"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["numbers", "axis"], ["sums"], keepdims=1),
            helper.make_node("Mul", ["sums", "labels"], ["start"]),
            helper.make_node("Loop", ["turns", "go", "start"], ["logits"], body=body),
        ],
        "endless",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["texts", "tokens"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["texts", len(TOPICS)])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(folder / "model.onnx"))
    shutil.copy(minilm_folder() / "tokenizer.json", folder)
    Description(kind="onnx", model_file="model.onnx", labels=TOPICS, max_length=32).write(folder)
    write_golden(folder, ["a text"], np.full((1, len(TOPICS)), 0.2, dtype=np.float32), tolerance=1e-3)
    write_manifest(folder, data={})
    return folder


def _other_estimator(folder: Path) -> None:
    from sklearn.preprocessing import StandardScaler

    from classifier.runtimes.sklearn import save_skops

    save_skops(StandardScaler(), folder / "pipeline.skops")


def _no_golden_text(folder: Path) -> None:
    (folder / "golden.json").write_text('{"tolerance": 0.001, "texts": []}')


def _golden_numbers(folder: Path) -> None:
    golden = json.loads((folder / "golden.json").read_text())
    for row in golden["texts"]:
        row["text"] = 7
    (folder / "golden.json").write_text(json.dumps(golden))


def _deep_golden(folder: Path) -> None:
    (folder / "golden.json").write_text("[" * 100_000)


def _labels_of_another(folder: Path) -> None:
    description = json.loads((folder / "classifier.json").read_text())
    description["labels"] = description["labels"][:-1]
    (folder / "classifier.json").write_text(json.dumps(description))


def _not_a_mapping(folder: Path) -> None:
    (folder / "classifier.json").write_text("[]")


BREAKS: dict[str, Callable[[Path], None]] = {
    "other_estimator": _other_estimator,
    "no_golden_text": _no_golden_text,
    "golden_numbers": _golden_numbers,
    "deep_golden": _deep_golden,
    "labels_of_another": _labels_of_another,
    "not_a_mapping": _not_a_mapping,
}
MANIFESTS = {
    "list": "[]",
    "files_list": '{"files": [1, 2]}',
    "files_numbers": '{"files": [[1, 2]]}',
    "deep": "[" * 100_000,
    "null": "null",
}


def broken(source: Path, folder: Path, kind: str) -> Path:
    """A copy of the classical bundle `source` that is broken by BREAKS or MANIFESTS[kind]."""
    shutil.copytree(source, folder)
    if kind in BREAKS:
        BREAKS[kind](folder)
        write_manifest(folder, data={})
    else:
        (folder / "manifest.json").write_text(MANIFESTS[kind])
    return folder
