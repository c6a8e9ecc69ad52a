"""`golden.json`: texts with the probabilities they must get; a bundle checks itself with them before it serves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from classifier.errors import BundleDamaged, BundleIncomplete, GoldenMismatch
from classifier.runtime import Probabilities

GOLDEN_FILE = "golden.json"


def write_golden(
    folder: Path, texts: Sequence[str], probabilities: Probabilities, *, tolerance: float
) -> None:
    """Write the golden texts.

    Args:
        folder: the bundle.
        texts: a few texts, at least one a label if possible; they travel with the model, so none that must not leave.
        probabilities: (len(texts), labels), in the order of the labels.
        tolerance: largest accepted difference of one probability; another processor rounds int8 differently.
    """
    rows = [
        {"text": text, "probabilities": [round(float(p), 6) for p in row]}
        for text, row in zip(texts, probabilities, strict=True)
    ]
    content = json.dumps({"tolerance": tolerance, "texts": rows}, indent=2, ensure_ascii=False) + "\n"
    (folder / GOLDEN_FILE).write_text(content, encoding="utf-8")


def read_golden(folder: Path) -> tuple[list[str], Probabilities, float]:
    """The golden texts, their (n, labels) probabilities and the tolerance.

    Raises:
        BundleIncomplete: the file is missing.
        BundleDamaged: it is not valid.
    """
    path = folder / GOLDEN_FILE
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        texts = [row["text"] for row in raw["texts"]]
        probabilities = np.asarray([row["probabilities"] for row in raw["texts"]], dtype=np.float32)
        if not texts or not all(isinstance(text, str) for text in texts):
            raise ValueError("it must hold at least one text")
        return texts, probabilities, float(raw["tolerance"])
    except FileNotFoundError:
        raise BundleIncomplete(f"{path} is missing") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BundleDamaged(f"{path} is not valid: {error!r}") from None


def compare_golden(folder: Path, found: Probabilities, expected: Probabilities, tolerance: float) -> None:
    """Raise GoldenMismatch, with the worst text and by how much, when a probability is off by more than `tolerance`."""
    if found.shape != expected.shape:
        raise GoldenMismatch(
            f"{folder / GOLDEN_FILE}: expected probabilities {expected.shape}, the model gives {found.shape}"
        )
    differences = np.abs(found - expected).max(axis=1)
    worst = int(differences.argmax())
    if not differences[worst] <= tolerance:  # written so that NaN fails
        raise GoldenMismatch(
            f"{folder / GOLDEN_FILE}: text {worst} is off by {differences[worst]:.4f} (tolerance {tolerance}): "
            "the model does not compute here what it computed where it was made"
        )
