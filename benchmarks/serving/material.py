"""What every server gets: the same weights, the same number of threads, the same texts."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mlflow

from classifier import Description
from classifier.bundle import seal_bundle
from classifier.golden import read_golden
from classifier.int8 import INT8_CHECK_FILE
from classifier.precision import FLOAT32_FILE, INT8_FILE
from classifier.runtimes.cascade import CascadeDescription
from classifier.runtimes.onnx import TOKENIZER_FILE
from stores.registry import BUNDLE_ARTIFACT, ModelRegistry
from stores.settings import TrackingSettings

_ROOT = Path(__file__).parents[2]
_NETWORK = Path(__file__).with_name("network.yaml")
_SHORT_WORDS = 12
_MIXED_WORDS, _MIXED_SPREAD = 40, 0.45
"""Median of the words that a mixed text is cut to at most, and the standard deviation of its logarithm: lengths as in
news in brief."""
_LONG_WORDS = 150


class MaterialMissing(Exception):
    """The network could not be trained, or left something out; the log says why."""


@dataclass(frozen=True, slots=True)
class Material:
    """Weights and texts."""

    champion: Path
    """A cascade whose last stage is the network, as a bundle."""
    bundle: Path
    """The network alone, as a bundle within `logged`."""
    logged: Path
    """The network alone, as an MLflow model."""
    weights: Path
    """The network as transformers saves it."""
    texts: tuple[str, ...]
    """No model has seen them."""
    labels: tuple[str, ...]
    """Of each text."""
    max_length: int
    threads: int

    def kinds(self, seed: int = 0) -> dict[str, list[str]]:
        """Texts by length: `short`, `mixed` and `long`."""
        chance = random.Random(seed)
        return {
            "short": [_cut(text, _SHORT_WORDS) for text in self.texts],
            "mixed": [
                _cut(text, max(4, round(_MIXED_WORDS * chance.lognormvariate(0, _MIXED_SPREAD))))
                for text in self.texts
            ],
            "long": _joined(self.texts, _LONG_WORDS),
        }


def make_material(folder: Path, overrides: Sequence[str], *, threads: int) -> Material:
    """Train network and cascade into `folder`, unless they are there already, and read what the training left.

    Args:
        folder: kept between benchmarks.
        overrides: `key=value` of the experiment, such as `data.source=news.csv`.
        threads: of every server.

    Raises:
        MaterialMissing: training failed.
    """
    texts = folder / "texts.jsonl"
    if not texts.is_file():
        chosen = [part for override in overrides for part in ("--set", override)]
        _training(folder, "run", str(_NETWORK), *chosen)
        unseen = folder / "unseen.jsonl"
        _training(folder, "data", str(_NETWORK), *chosen, "--part", "holdout", "--out", str(unseen))
        unseen.rename(texts)  # last: its presence says that all is there
    champion = _only(folder / "artifacts", "manifest.json", beside="MLmodel")
    description = json.loads((champion / "classifier.json").read_text(encoding="utf-8"))
    rows = [json.loads(line) for line in texts.read_text(encoding="utf-8").splitlines()]
    logged = _last_stage(champion, folder)
    return Material(
        champion=champion,
        bundle=logged / "artifacts" / BUNDLE_ARTIFACT,
        logged=logged,
        weights=_only(folder / "reports", "model.safetensors", beside="config.json"),
        texts=tuple(row["text"] for row in rows),
        labels=tuple(row["label"] for row in rows),
        max_length=int(description["max_length"]),
        threads=threads,
    )


def _last_stage(cascade: Path, folder: Path) -> Path:
    """The last stage of `cascade` as an MLflow model under `folder`, with the cascade's golden texts; made once."""
    logged = folder / "network"
    if logged.is_dir():
        return logged
    golden_texts, _, _ = read_golden(cascade)
    int8_check = json.loads((cascade / INT8_CHECK_FILE).read_text(encoding="utf-8"))
    stage = CascadeDescription.read(cascade).stages[-1]
    described = {"kind": stage.kind, "candidate": stage.name}
    with tempfile.TemporaryDirectory(dir=folder) as staging:
        registry = ModelRegistry(TrackingSettings(var_dir=Path(staging), model_name="benchmark"))
        bundle = Path(staging, "bundle")
        bundle.mkdir()
        for name in (FLOAT32_FILE, INT8_FILE, TOKENIZER_FILE):
            shutil.copy2(cascade / name, bundle / name)
        seal_bundle(
            bundle,
            Description.read(cascade).model_copy(update=described),
            golden_texts=golden_texts,
            data={},
            int8_texts=[item["text"] for item in int8_check["texts"]],
        )
        with registry.run("benchmark", "network"):
            uri = registry.log_bundle(bundle)
        mlflow.artifacts.download_artifacts(uri, dst_path=str(Path(staging, "logged")))
        Path(staging, "logged").rename(logged)
    return logged


def _training(folder: Path, *command: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    result = subprocess.run(
        [sys.executable, "-m", "training", *command],
        cwd=_ROOT,
        env={**environment, "VAR_DIR": str(folder)},
        check=False,
    )
    if result.returncode:
        raise MaterialMissing(
            f"`python -m training {' '.join(command)}` ended with status {result.returncode}"
        )


def _only(folder: Path, name: str, *, beside: str) -> Path:
    """The newest folder under `folder` that holds `name`, with `beside` in it or in one that holds it."""
    found = [
        path.parent
        for path in folder.rglob(name)
        if any((place / beside).is_file() for place in (path.parent, *path.parent.parents))
    ]
    if not found:
        raise MaterialMissing(f"there is no {name} under {folder}: delete that folder, and it is made anew")
    return max(found, key=lambda path: path.stat().st_mtime)


def _cut(text: str, words: int) -> str:
    return " ".join(text.split()[:words])


def _joined(texts: Sequence[str], words: int) -> list[str]:
    """Each text with as many of the following ones as it takes to have so many words."""
    found = []
    for start in range(len(texts)):
        parts: list[str] = []
        position = start
        while sum(len(part.split()) for part in parts) < words and len(parts) < len(texts):
            parts.append(texts[position % len(texts)])
            position += 1
        found.append(_cut(" ".join(parts), words))
    return found
