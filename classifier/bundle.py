"""Making a bundle: from a folder that holds a model's files to one that is complete, sealed and proven to load.

The layout, and who writes what, is in ARCHITECTURE.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from classifier.description import Description
from classifier.golden import write_golden
from classifier.int8 import INT8_TOLERANCE, write_int8_check
from classifier.manifest import write_manifest
from classifier.precision import FLOAT32_FILE, INT8_FILE
from classifier.predictor import Classifier
from classifier.signing import SigningKeys

FLOAT_TOLERANCE = 1e-3
"""Accepted difference of one float32 probability between processors, whose kernels differ in the last digits."""


def seal_bundle(
    folder: Path,
    description: Description,
    *,
    golden_texts: Sequence[str],
    data: dict[str, Any],
    int8_texts: Sequence[str] = (),
    signing_key: str | SigningKeys | None = None,
) -> Classifier:
    """Complete a bundle and load it as serving would.

    Args:
        folder: holds the model's files already: `model.onnx` and `tokenizer.json`, or `pipeline.skops`, or
            `vectorizer.skops` and `model.cbm`; and `reference.parquet` and `report/` where there are any.
            Nothing in it may change afterwards.
        description: how to run the model; written as `classifier.json`.
        golden_texts: a few texts whose probabilities the bundle is to remember; at least one.
        data: where the model came from: data fingerprint, experiment, seed (JSON).
        int8_texts: a few dozen texts with which the loader decides on each processor whether the int8 file may run;
            used where the folder holds `model.onnx` and `model.int8.onnx`. They travel with the model.
        signing_key: keys, or the secret, to sign with.

    Returns:
        The classifier, loaded from the sealed bundle, hashes and golden texts checked.

    Raises:
        ValueError: no golden text.
        BundleError: what was sealed does not load.
    """
    if not golden_texts:
        raise ValueError("a bundle needs at least one golden text to check itself with")
    description.write(folder)
    unsealed = Classifier.load(folder, verify=False)
    tolerance = INT8_TOLERANCE if "int8" in description.model_file else FLOAT_TOLERANCE
    write_golden(folder, golden_texts, unsealed.predict(golden_texts), tolerance=tolerance)
    if int8_texts and (folder / FLOAT32_FILE).is_file() and (folder / INT8_FILE).is_file():
        float32, int8 = (
            unsealed.beside(name).predict(int8_texts, all_stages=True) for name in (FLOAT32_FILE, INT8_FILE)
        )
        write_int8_check(folder, int8_texts, float32, int8, tolerance=FLOAT_TOLERANCE)
    write_manifest(folder, data=data, signing_key=signing_key)
    return Classifier.load(folder, signing_key=signing_key)
