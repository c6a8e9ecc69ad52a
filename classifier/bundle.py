"""Making a bundle: from a folder that holds a model's files to one that is complete, sealed and proven to load.

The layout, and who writes what, is in ARCHITECTURE.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from classifier.description import Description
from classifier.golden import write_golden
from classifier.manifest import write_manifest
from classifier.predictor import Classifier

FLOAT_TOLERANCE = 1e-3
INT8_TOLERANCE = 5e-2
"""int8 kernels differ between processors with and without VNNI, float32 ones only in the last digits."""


def seal_bundle(
    folder: Path,
    description: Description,
    *,
    golden_texts: Sequence[str],
    data: dict[str, Any],
    signing_key: str | None = None,
) -> Classifier:
    """Complete a bundle and load it as serving would.

    Args:
        folder: holds the model's files already: `model.onnx` and `tokenizer.json`, or `pipeline.skops`, or
            `vectorizer.skops` and `model.cbm`; and `reference.parquet` and `report/` where there are any.
            Nothing in it may change afterwards.
        description: how to run the model; written as `classifier.json`.
        golden_texts: a few texts whose probabilities the bundle is to remember; at least one.
        data: where the model came from: data fingerprint, experiment, seed (JSON).
        signing_key: secret to sign with.

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
    write_manifest(folder, data=data, signing_key=signing_key)
    return Classifier.load(folder, signing_key=signing_key)
