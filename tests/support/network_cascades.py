"""Bundles of linear models, and of cascades that end in a network, for tests; no network is trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer

from classifier import Classifier, Description, seal_bundle
from classifier.runtimes.cascade import STAGES_FOLDER, CascadeDescription, StageDescription
from classifier.runtimes.onnx import TOKENIZER_FILE
from classifier.runtimes.static_linear import LINEAR_FILE, LinearModel, TermBlock, Terms, TokenBlock
from tests.support.bundles import TOPICS, bbc_part
from tests.support.networks import MAX_LENGTH

NGRAMS = 2


def fitted_on_bbc() -> tuple[TfidfVectorizer, LogisticRegression]:
    """TF-IDF and logistic regression that learned from part 0 of BBC News."""
    texts, topics = bbc_part(0)
    vectorizer = TfidfVectorizer(sublinear_tf=True, min_df=2, ngram_range=(1, NGRAMS), stop_words="english")
    regression = LogisticRegression(C=10.0, max_iter=1000)
    regression.fit(vectorizer.fit_transform(texts), topics)
    assert tuple(regression.classes_) == TOPICS
    return vectorizer, regression


def write_linear(folder: Path, *, tokenizer: Path | None = None) -> Description:
    """Write `linear.npz` and `classifier.json`; with a `tokenizer.json`, random static vectors that weigh little."""
    vectorizer, regression = fitted_on_bbc()
    terms = Terms(ngram_max=NGRAMS, stop_words=tuple(sorted(vectorizer.get_stop_words())))
    block = TermBlock(
        terms,
        tuple(vectorizer.get_feature_names_out()),
        vectorizer.idf_.astype(np.float32),
        regression.coef_.T.astype(np.float32),
    )
    tokens = None
    if tokenizer is not None:
        rng = np.random.default_rng(0)
        size = Tokenizer.from_file(str(tokenizer)).get_vocab_size()
        tokens = TokenBlock(
            rng.normal(size=(size, 8)).astype(np.float16),
            rng.normal(0, 0.1, (8, len(TOPICS))).astype(np.float32),
        )
        shutil.copy2(tokenizer, folder / TOKENIZER_FILE)
    LinearModel((block,), regression.intercept_.astype(np.float32), tokens).save(folder / LINEAR_FILE)
    description = Description(
        kind="static_linear", model_file=LINEAR_FILE, labels=TOPICS, candidate="static_linear"
    )
    description.write(folder)
    return description


def sealed_linear_bundle(folder: Path, *, tokenizer: Path | None = None) -> Classifier:
    """A sealed `static_linear` bundle."""
    folder.mkdir(parents=True)
    description = write_linear(folder, tokenizer=tokenizer)
    return seal_bundle(folder, description, golden_texts=bbc_part(1)[0][:3], data={})


def sealed_cascade_bundle(folder: Path, network: Path, *, threshold: float | None = 0.6) -> Classifier:
    """A sealed cascade of a linear stage and the network of the bundle `network`.

    At the default `threshold` the linear stage answers most articles; None: none.
    """
    stage = folder / STAGES_FOLDER / "static_linear"
    stage.mkdir(parents=True)
    write_linear(stage, tokenizer=network / TOKENIZER_FILE)
    for path in network.iterdir():
        if path.name in {"model.onnx", "model.int8.onnx", TOKENIZER_FILE}:
            shutil.copy2(path, folder / path.name)
    CascadeDescription(
        stages=(
            StageDescription(
                name="static_linear",
                kind="static_linear",
                weights=(1.0,),
                thresholds=(threshold,) * len(TOPICS),
            ),
            StageDescription(name="minilm", kind="onnx", weights=(0.9, 0.1)),
        ),
        calibration={"max_accuracy_loss": 0.005, "confidence": 0.95, "agreement": 0.99},
    ).write(folder)
    description = Description(
        kind="cascade", model_file="model.onnx", labels=TOPICS, max_length=MAX_LENGTH, candidate="cascade"
    )
    texts, _ = bbc_part(1)
    return seal_bundle(folder, description, golden_texts=texts[:3], int8_texts=texts[:8], data={})
