"""int8: a network's weights as eight-bit integers, kept only where it answers as well as the float32 network.

ONNX Runtime's dynamic quantisation: weights are rounded once, a scale a channel; activations while they are computed.
The file is a quarter of the size, and faster where the processor multiplies integers faster than floats (VNNI).

Weights have seven bits (−64 to 64). x86 processors without VNNI add two products of an unsigned activation and a signed
weight in 16 bits, saturating (`vpmaddubsw`): 2 · 255 · 127 does not fit, 2 · 255 · 64 does. So integer products are
exact on every processor, and the file answers alike on each; with eight bits it does not. Unsigned weights of eight
bits have a kernel that adds in 32 bits, and is slower without VNNI (docs/training-distillation.md).
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from classifier import Classifier
from classifier.precision import FLOAT32_FILE, INT8_FILE
from training.config.network import Int8Config
from training.data import Part
from training.data.labels import positions_of
from training.evaluation.metrics import confusion_counts, macro_f1


@dataclass(frozen=True, slots=True)
class Int8Check:
    """int8 against float32 on the validation part."""

    passed: bool
    f1_loss: float
    """Macro-F1 of float32 minus that of int8."""
    agreement: float
    """Share of texts that both give the same label."""
    max_difference: float
    """Largest difference of one probability."""

    def figures(self) -> dict[str, float]:
        """By the names that MLflow keeps."""
        return {
            "int8_passed": float(self.passed),
            "int8_f1_loss": self.f1_loss,
            "int8_agreement": self.agreement,
            "int8_max_difference": self.max_difference,
        }

    def __str__(self) -> str:
        changed = "loses" if self.f1_loss >= 0 else "gains"
        return (
            f"int8 {changed} {abs(self.f1_loss):.4f} macro-F1 on the validation part, agrees on "
            f"{self.agreement:.1%} of the texts, and a probability differs by up to {self.max_difference:.3f}: "
            + ("kept" if self.passed else "not kept")
        )


def add_int8(folder: Path, config: Int8Config, validation: Part) -> Int8Check:
    """Quantise the bundle in `folder`, compare on `validation`, and keep `model.int8.onnx` only if it passes.

    `folder` holds `model.onnx`, `tokenizer.json` and `classifier.json`.
    """
    source, target = folder / FLOAT32_FILE, folder / INT8_FILE
    quantise(source, target, per_channel=config.per_channel)
    check = _compare(folder, config, validation)
    if not check.passed:
        target.unlink()
    return check


def _compare(folder: Path, config: Int8Config, validation: Part) -> Int8Check:
    exact = Classifier.load(folder, verify=False)
    rounded = Classifier.load(folder, verify=False, model_file=INT8_FILE)
    truth = positions_of(validation.labels, exact.labels)
    found = [model.predict(validation.texts) for model in (exact, rounded)]
    given = [probabilities.argmax(axis=1) for probabilities in found]
    before, after = (float(macro_f1(confusion_counts(truth, labels, len(exact.labels)))) for labels in given)
    return Int8Check(
        passed=before - after <= config.max_f1_loss,
        f1_loss=before - after,
        agreement=float((given[0] == given[1]).mean()),
        max_difference=float(np.abs(found[0] - found[1]).max()),
    )


def quantise(source: Path, target: Path, *, per_channel: bool) -> None:
    """Write the float32 network `source` with weights of seven bits to `target`."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    logger = logging.getLogger()
    level = logger.level
    model = onnx.load(str(source))
    del model.graph.value_info[:]  # shapes that quantising would find in conflict with its own
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)  # it advises a step that changes nothing here, through the root logger
        try:
            quantize_dynamic(
                model, str(target), weight_type=QuantType.QInt8, per_channel=per_channel, reduce_range=True
            )
        finally:
            logger.setLevel(level)
    quantised = onnx.load(str(target))
    del quantised.graph.value_info[:]  # as in export/onnx.py
    onnx.save(quantised, str(target))
