"""From a trained torch network to the ONNX file that is served, and the proof that both compute the same."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from classifier import Classifier, Description
from classifier.runtimes.onnx import TOKENIZER_FILE
from training.errors import ParityError
from training.export.read_back import write_architecture

MODEL_FILE = "model.onnx"
_OPSET = 20
"""The first with GELU as one operator, which ONNX Runtime computes together with the bias before it."""


class _Logits(torch.nn.Module):
    """The network with tensors in and logits out, which is what ONNX can say."""

    def __init__(self, network: PreTrainedModel, inputs: Sequence[str]) -> None:
        super().__init__()
        self.network, self.inputs = network, inputs

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.network(**dict(zip(self.inputs, tensors, strict=True))).logits
        return logits


def export_network(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    folder: Path,
    description: Description,
    *,
    texts: Sequence[str],
    tolerance: float,
) -> float:
    """Write `model.onnx`, `tokenizer.json` and `classifier.json`, and compare with torch on `texts`.

    Args:
        network: the trained network; moved to the CPU, and its attention switched to the plain implementation.
        tokenizer: its tokenizer.
        folder: where the files go.
        description: how serving is to run them.
        texts: real texts, of unlike lengths, on which both must agree.
        tolerance: largest accepted difference of one probability.

    Returns:
        The largest difference found.

    Raises:
        ParityError: it is above the tolerance.
    """
    network.train(False)
    network.to("cpu")  # type: ignore[arg-type, unused-ignore]
    expected = torch_probabilities(network, tokenizer, texts, max_length=description.max_length)
    write_onnx(network, tokenizer, folder / MODEL_FILE)
    write_architecture(network, folder / MODEL_FILE)
    tokenizer.backend_tokenizer.save(str(folder / TOKENIZER_FILE))
    description.write(folder)
    return check_parity(Classifier.load(folder, verify=False), texts, expected, tolerance=tolerance)


def check_parity(
    classifier: Classifier, texts: Sequence[str], expected: NDArray[np.float32], *, tolerance: float
) -> float:
    """Largest difference between `classifier`'s probabilities of `texts` and the (n, labels) `expected` ones.

    The whole way is compared, tokenizer, cut and padding included.

    Raises:
        ParityError: it is above `tolerance`; says on which text.
    """
    differences = np.abs(classifier.predict(texts) - expected).max(axis=1)
    worst = int(differences.argmax())
    found = float(differences[worst])
    if not found <= tolerance:  # written so that NaN fails
        raise ParityError(
            f"{classifier.folder / classifier.description.model_file} differs from the trained network by "
            f"{found:.2g} in a probability of text {worst} (tolerance {tolerance:g}): it is not served"
        )
    return found


@torch.inference_mode()
def torch_probabilities(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    *,
    max_length: int | None,
) -> NDArray[np.float32]:
    """What the torch network says of `texts`; (n, labels) float32."""
    rows = []
    for start in range(0, len(texts), 16):
        batch = tokenizer(
            list(texts[start : start + 16]),
            truncation=max_length is not None,
            max_length=max_length,
            padding=True,
            return_tensors="pt",
        ).to(network.device)
        rows.append(torch.softmax(network(**batch).logits.float(), dim=-1))
    probabilities: NDArray[np.float32] = torch.cat(rows).cpu().numpy()
    return probabilities


def write_onnx(network: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, path: Path) -> None:
    """Write `network` as ONNX: token ids of any batch and length in, logits out."""
    # Plain attention: its products of activations are what ONNX Runtime quantises; an Attention operator is not.
    network.set_attn_implementation("eager")
    example = tokenizer(["one text", "another, a longer one"], padding=True, return_tensors="pt")
    inputs = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in example]
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")
    with _quiet_exporter():
        program = torch.onnx.export(
            # The exporter gives a module back in the mode it came in; a new one comes in training mode.
            _Logits(network, inputs).train(False),
            tuple(example[name] for name in inputs),
            input_names=inputs,
            output_names=["logits"],
            dynamic_shapes={"tensors": tuple({0: batch, 1: length} for _ in inputs)},
            opset_version=_OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    graph = model.graph
    # With the shapes of intermediate values ONNX Runtime fuses additions into SkipLayerNormalization and shares more
    # buffers, which is slower on processors (docs/decisions/0029-onnx-exporter.md).
    del graph.value_info[:]
    # Source lines and folders of this machine.
    for item in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        item.ClearField("metadata_props")
    onnx.save(model, str(path))


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Without warnings of branches in a network's code, which the parity check is for, and of missing torchvision."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            logger.setLevel(level)
