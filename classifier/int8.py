"""`int8.json`: what float32 says of a few dozen texts, and how closely the int8 file must follow it on any processor.

Training writes it beside `model.int8.onnx`, with what int8 reached there. The loader runs the same texts through int8
on the processor at hand: kernels differ between processors, and an int8 file that was good where it was made need not
be good elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from classifier.errors import BundleDamaged
from classifier.golden import read_golden
from classifier.predictor import Classifier
from classifier.runtime import Probabilities

INT8_CHECK_FILE = "int8.json"
INT8_TOLERANCE = 2e-2
"""Accepted difference of one probability between two processors that run the same int8 file.

Products of integers are the same everywhere (`training/export/quantize.py`). The scale that activations are
rounded by is computed in float32, whose last digit differs between kernels; an activation near the middle of two
integers is then rounded the other way, here and in every later layer.
"""
_CLEAR = 0.2
"""A golden text whose two most probable labels are further apart must get the same label from int8."""


@dataclass(frozen=True, slots=True)
class Int8Agreement:
    """int8 on this processor against the float32 probabilities that the bundle holds."""

    texts: int
    agreement: float
    """Share of the texts that get float32's label."""
    max_difference: float
    """Largest difference of one probability."""
    accepted: bool
    """Whether both are within what the bundle allows."""

    def as_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self)

    def __str__(self) -> str:
        return (
            f"int8 gives {self.agreement:.1%} of {self.texts} texts the label of float32 on this processor, and a "
            f"probability differs by up to {self.max_difference:.3f}"
        )


def write_int8_check(
    folder: Path, texts: Sequence[str], float32: Probabilities, int8: Probabilities, *, tolerance: float
) -> None:
    """Write `int8.json`.

    int8 may call one text more something else than it did here, and differ by `INT8_TOLERANCE` more.

    Args:
        folder: the bundle.
        texts: texts of every label, at least one; they travel with the model.
        float32: (n, labels) probabilities by `model.onnx`, calibrated.
        int8: the same by `model.int8.onnx`, on this processor.
        tolerance: accepted difference of one float32 probability between processors.
    """
    agreement, difference = _compared(float32, int8)
    content = {
        "min_agreement": max(0.0, agreement - 1 / len(texts)),
        "max_difference": difference + INT8_TOLERANCE,
        "float32_tolerance": tolerance,
        "texts": [
            {"text": text, "probabilities": [round(float(p), 6) for p in row]}
            for text, row in zip(texts, float32, strict=True)
        ],
    }
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    (folder / INT8_CHECK_FILE).write_text(text, encoding="utf-8")


def check_int8(int8: Classifier) -> Int8Agreement | None:
    """Hold int8, as it computes on this processor, against the float32 probabilities in its bundle.

    A bundle made before `int8.json` existed has only its golden texts: there, no text that is clear to float32 may get
    another label. None: such a bundle was sealed with int8, so it holds no float32 probabilities.

    Raises:
        BundleDamaged: `int8.json` is not valid.
    """
    path = int8.folder / INT8_CHECK_FILE
    if path.is_file():
        texts, float32, limits = _read(path)
        agreement, difference = _compared(float32, int8.predict(texts, all_stages=True))
        held = agreement >= limits["min_agreement"] - 1e-9 and difference <= limits["max_difference"]
        return Int8Agreement(len(texts), agreement, difference, held)
    if "int8" in int8.sealed_file:
        return None
    texts, float32, _ = read_golden(int8.folder)
    found = int8.predict(texts, all_stages=True)
    agreement, difference = _compared(float32, found)
    ranked = np.sort(float32, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > _CLEAR
    other = float32.argmax(axis=1) != found.argmax(axis=1)
    return Int8Agreement(len(texts), agreement, difference, not bool((clear & other).any()))


def float32_difference(float32: Classifier) -> tuple[float, float] | None:
    """Largest difference of `float32` from the probabilities in `int8.json`, and the accepted one; None without it.

    Raises:
        BundleDamaged: `int8.json` is not valid.
    """
    path = float32.folder / INT8_CHECK_FILE
    if not path.is_file():
        return None
    texts, expected, limits = _read(path)
    return _compared(expected, float32.predict(texts, all_stages=True))[1], limits["float32_tolerance"]


def _compared(float32: Probabilities, other: Probabilities) -> tuple[float, float]:
    """Share of the rows with the same label, and the largest difference of one probability."""
    same = float((float32.argmax(axis=1) == other.argmax(axis=1)).mean())
    return same, float(np.abs(float32 - other).max())


def _read(path: Path) -> tuple[list[str], Probabilities, dict[str, float]]:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        texts = [str(row["text"]) for row in raw["texts"]]
        float32 = np.asarray([row["probabilities"] for row in raw["texts"]], dtype=np.float32)
        limits = {name: float(raw[name]) for name in ("min_agreement", "max_difference", "float32_tolerance")}
        if not texts or float32.ndim != 2:
            raise ValueError("no texts with probabilities")
        return texts, float32, limits
    except (ValueError, KeyError, TypeError) as error:
        raise BundleDamaged(f"{path} is not valid: {error!r}") from None
