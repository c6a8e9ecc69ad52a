"""A real cascade for tests: a linear stage that reads a few topics' words, and a pipeline for what it is unsure of."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from classifier import Classifier, Description, seal_bundle
from classifier.reference import reference_frame, write_reference
from classifier.runtimes.cascade import CascadeDescription, RelaxedThresholds, StageDescription
from classifier.runtimes.sklearn import save_skops
from classifier.runtimes.static_linear import LINEAR_FILE, LinearModel, TermBlock, Terms
from tests.support.bundles import TOPICS, bbc_part
from tests.support.once import made_once

_NEVER = -10.0
"""Logit of a label that the linear stage never saw."""
FIRST, LAST = "static_linear", "tfidf_logreg"
STAGES = (FIRST, LAST)

EARLY = "The striker scored twice in the cup final, and the coach praised the players of the team."
"""A text that the linear stage is sure of: sports."""
LATE = "The minister said on Tuesday that he would think about it."
"""A text that it is unsure of."""


def sealed_cascade(
    folder: Path,
    *,
    threshold: float = 0.6,
    relaxed: float | None = None,
    unseen: str | None = None,
    sureness: float = 1.0,
) -> Classifier:
    """A cascade of a linear stage without scikit-learn and a pipeline, with part 1 of BBC News as its reference.

    Args:
        folder: made by this call.
        threshold: probability from which the linear stage answers, for every label.
        relaxed: the same under overload, at a loss of at most 0.02.
        unseen: topic of which neither the linear stage nor the reference has any text.
        sureness: factor of the linear stage's logits.
    """
    made = made_once(
        "cascade",
        lambda new: _seal_cascade(new, threshold, relaxed, unseen, sureness),
        threshold,
        relaxed,
        unseen,
        sureness,
    )
    return Classifier.load(shutil.copytree(made, folder))


def _seal_cascade(
    folder: Path, threshold: float, relaxed: float | None, unseen: str | None, sureness: float
) -> None:
    first = folder / "stages" / FIRST
    first.mkdir(parents=True)
    texts, topics = bbc_part(0)
    pipeline = make_pipeline(
        TfidfVectorizer(sublinear_tf=True, min_df=2, stop_words="english"),
        LogisticRegression(C=10.0, max_iter=1000),
    )
    pipeline.fit(*_without(unseen, texts, topics))
    _linear(pipeline, sureness).save(first / LINEAR_FILE)
    Description(kind="static_linear", model_file=LINEAR_FILE, labels=TOPICS).write(first)
    second = make_pipeline(
        TfidfVectorizer(min_df=2, max_features=4000), LogisticRegression(C=30.0, max_iter=1000)
    )
    second.fit(texts, topics)
    save_skops(second, folder / "pipeline.skops")
    CascadeDescription(
        stages=(
            StageDescription(
                name=FIRST,
                kind="static_linear",
                weights=(1.0,),
                thresholds=(threshold,) * len(TOPICS),
                relaxed=()
                if relaxed is None
                else (RelaxedThresholds(max_accuracy_loss=0.02, thresholds=(relaxed,) * len(TOPICS)),),
            ),
            StageDescription(name=LAST, kind="sklearn", weights=(0.2, 0.8)),
        )
    ).write(folder)
    description = Description(kind="cascade", model_file="pipeline.skops", labels=TOPICS, candidate="cascade")
    description.write(folder)
    held_out, true_labels = _without(unseen, *bbc_part(1))
    unsealed = Classifier.load(folder, verify=False)
    frame = reference_frame(
        held_out,
        true_labels,
        unsealed.classify(held_out),
        unsealed.labels,
        stages=unsealed.stages,
        all_stages=unsealed.predict(held_out, all_stages=True),
    )
    write_reference(folder, frame)
    seal_bundle(folder, description, golden_texts=held_out[:5], data={"source": "bbc-news"})


def _linear(pipeline: Pipeline, sureness: float) -> LinearModel:
    """The arrays of a pipeline of `TfidfVectorizer` and `LogisticRegression`."""
    vectorizer, regression = (step for _, step in pipeline.steps)
    terms = Terms(stop_words=tuple(sorted(vectorizer.get_stop_words())))
    vocabulary = tuple(vectorizer.get_feature_names_out())
    weights = np.zeros((len(vocabulary), len(TOPICS)), dtype=np.float32)
    intercept = np.full(len(TOPICS), _NEVER, dtype=np.float32)
    columns = [TOPICS.index(topic) for topic in regression.classes_]
    weights[:, columns] = sureness * regression.coef_.T
    intercept[columns] = sureness * regression.intercept_
    return LinearModel(
        (TermBlock(terms, vocabulary, vectorizer.idf_.astype(np.float32), weights),), intercept
    )


def _without(unseen: str | None, texts: list[str], topics: list[str]) -> tuple[list[str], list[str]]:
    kept = [place for place, topic in enumerate(topics) if topic != unseen]
    return [texts[place] for place in kept], [topics[place] for place in kept]
