"""The classical candidates: TF-IDF with logistic regression, and with gradient-boosted trees."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from classifier import Description
from classifier.classical import VECTORIZER_FILE, save_skops
from training.candidates.config import CatBoostConfig, LogregConfig, TfidfConfig
from training.candidates.trained import Trained, Workplace
from training.data import Splits


def train_logreg(config: LogregConfig, splits: Splits, workplace: Workplace) -> Trained:
    """TF-IDF and logistic regression, as `pipeline.skops`."""
    task = workplace.progress.add_task(workplace.name, total=1)
    pipeline = make_pipeline(
        tfidf_vectorizer(config),
        LogisticRegression(C=config.strength, max_iter=2000, random_state=workplace.seed),
    )
    pipeline.fit(splits.train.texts, splits.train.labels)
    save_skops(pipeline, workplace.bundle / "pipeline.skops")
    workplace.progress.update(task, completed=1)
    description = Description(
        kind="sklearn",
        model_file="pipeline.skops",
        labels=tuple(str(label) for label in pipeline.classes_),
        candidate=workplace.name,
    )
    return Trained(description, figures={"features": float(len(pipeline[0].vocabulary_))})


def train_catboost(config: CatBoostConfig, splits: Splits, workplace: Workplace) -> Trained:
    """TF-IDF and CatBoost, as `vectorizer.skops` and `model.cbm`."""
    from catboost import CatBoostClassifier

    task = workplace.progress.add_task(workplace.name, total=config.iterations)

    class Advance:
        """CatBoost's callback interface."""

        def after_iteration(self, info: object) -> bool:  # noqa: ARG002
            workplace.progress.advance(task)
            return True

    vectorizer = tfidf_vectorizer(config)
    features = vectorizer.fit_transform(splits.train.texts)
    labels = splits.labels
    positions = {label: position for position, label in enumerate(labels)}
    model = CatBoostClassifier(
        iterations=config.iterations,
        learning_rate=config.learning_rate,
        depth=config.depth,
        l2_leaf_reg=config.l2,
        # Also for two classes: one probability a label, in the order of the labels.
        loss_function="MultiClass",
        random_seed=workplace.seed,
        verbose=False,
        allow_writing_files=False,
    )
    model.fit(features, [positions[label] for label in splits.train.labels], callbacks=[Advance()])
    save_skops(vectorizer, workplace.bundle / VECTORIZER_FILE)
    model.save_model(str(workplace.bundle / "model.cbm"))
    description = Description(
        kind="catboost", model_file="model.cbm", labels=labels, candidate=workplace.name
    )
    return Trained(
        description, figures={"features": float(features.shape[1]), "trees": float(model.tree_count_)}
    )


def tfidf_vectorizer(config: TfidfConfig, *, dtype: type[np.floating[Any]] = np.float64) -> TfidfVectorizer:
    """What turns texts into features of `dtype` as `config` says; not fitted yet."""
    return TfidfVectorizer(
        dtype=dtype,
        max_features=config.max_features,
        ngram_range=(1, config.longest_phrase),
        min_df=config.min_texts,
        lowercase=config.lowercase,
        stop_words=config.stop_words,
        token_pattern=config.token_pattern,
        sublinear_tf=config.sublinear,
    )
