"""A text that breaks a model: a copy of the bundle in which the embedding of one word is not a number."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.serving.material import Material


def poisoned(material: Material, folder: Path) -> tuple[Material, str]:
    """Copy the logged bundle to `folder`, where a word that no text has makes every output NaN; and that word.

    Only float32 is changed, and the copy's manifest says so: its loader finds nothing wrong with it.
    """
    import onnx
    from onnx import numpy_helper

    shutil.copytree(material.logged, folder)
    bundle = folder / material.bundle.relative_to(material.logged)
    vocabulary: dict[str, int] = json.loads((bundle / "tokenizer.json").read_text(encoding="utf-8"))["model"][
        "vocab"
    ]
    word = _unused(vocabulary, material.texts)
    path = bundle / "model.onnx"
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 2 and tensor.dims[0] == len(vocabulary):
            values = numpy_helper.to_array(tensor).copy()
            values[vocabulary[word]] = np.nan
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, path)
    manifest = bundle / "manifest.json"
    content = json.loads(manifest.read_text(encoding="utf-8"))
    content["files"]["model.onnx"] = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(content), encoding="utf-8")
    return replace(material, bundle=bundle, logged=folder), word


def _unused(vocabulary: dict[str, int], texts: Sequence[str]) -> str:
    """A whole word of the vocabulary that occurs in no text."""
    said = " ".join(texts).lower()
    return next(word for word in sorted(vocabulary) if word.isalpha() and len(word) > 6 and word not in said)
