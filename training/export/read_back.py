"""Store a network's architecture in its ONNX file, and rebuild the torch network from it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from transformers import AutoConfig, PreTrainedModel, PreTrainedTokenizerFast

from classifier.precision import FLOAT32_FILE
from classifier.runtimes.onnx import TOKENIZER_FILE
from training.errors import NetworkUnreadable
from training.models.pooling import classifier_from_config

ARCHITECTURE, WEIGHTS = "architecture", "weights"
"""Keys of the file's metadata: the configuration, and weight → [tensor of the graph, whether it is transposed]."""

_LOCAL = ("_name_or_path", "name_or_path", "transformers_version", "dtype", "torch_dtype")
"""What a configuration says of the machine that wrote it, and not of the network."""


def write_architecture(network: PreTrainedModel, path: Path) -> None:
    """Write `network`'s configuration and the places of its weights into the metadata of the ONNX file `path`.

    Weights are found by their values: the exporter transposes them, renames them, and keeps equal ones once.
    """
    model = onnx.load(str(path))
    tensors = {_digest(numpy_helper.to_array(tensor)): tensor.name for tensor in model.graph.initializer}
    places: dict[str, tuple[str, bool]] = {}
    for name, weight in network.state_dict().items():
        values = weight.detach().cpu().numpy()
        for transposed in (False, True):
            found = tensors.get(_digest(values.T if transposed else values))
            if found is not None:
                places[name] = (found, transposed)
                break
    config = {key: value for key, value in network.config.to_diff_dict().items() if key not in _LOCAL}
    config["model_type"] = network.config.model_type
    onnx.helper.set_model_props(
        model, {ARCHITECTURE: json.dumps(config, sort_keys=True), WEIGHTS: json.dumps(places, sort_keys=True)}
    )
    onnx.save(model, str(path))


def read_network(path: Path) -> PreTrainedModel:
    """The torch network that the ONNX file `path` was exported from, in evaluation mode, on the CPU.

    A weight that the graph does not hold takes no part in what it computes, and is zero.

    Raises:
        NetworkUnreadable: the file does not say its architecture, or lacks a tensor that it names.
    """
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf's own types
        raise NetworkUnreadable(f"{path} is not an ONNX file: {error}") from None
    said = {item.key: item.value for item in model.metadata_props}
    if not {ARCHITECTURE, WEIGHTS} <= set(said):
        raise NetworkUnreadable(f"{path} does not say its architecture: it was exported before it could")
    raw: dict[str, Any] = json.loads(said[ARCHITECTURE])
    network = classifier_from_config(AutoConfig.for_model(raw.pop("model_type"), **raw))
    arrays = {tensor.name: tensor for tensor in model.graph.initializer}
    state = {name: torch.zeros_like(weight) for name, weight in network.state_dict().items()}
    for name, (place, transposed) in json.loads(said[WEIGHTS]).items():
        if place not in arrays or name not in state:
            raise NetworkUnreadable(f"{path} has no tensor {place!r} for the weight {name!r}")
        array = numpy_helper.to_array(arrays[place])
        # Copied: ONNX gives memory that must not be written to.
        state[name] = torch.from_numpy(np.array(array.T if transposed else array, order="C"))
    network.load_state_dict(state)
    network.train(False)
    return network


def read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of the bundle in `folder`, giving what its network reads."""
    graph = onnx.load(str(folder / FLOAT32_FILE), load_external_data=False).graph
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_file=str(folder / TOKENIZER_FILE), model_input_names=[item.name for item in graph.input]
    )
    vocabulary = tokenizer.get_vocab()
    # A tokenizer's file need not say which token fills up; serving takes the same.
    tokenizer.pad_token = next(
        (token for token in ("[PAD]", "<pad>") if token in vocabulary), tokenizer.convert_ids_to_tokens(0)
    )
    return tokenizer


def _digest(values: np.ndarray[Any, Any]) -> tuple[tuple[int, ...], str, str]:
    """Shape, type and hash: equal for equal arrays only."""
    return values.shape, values.dtype.str, hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()
