"""The candidate kind `static_linear`: token vectors, lessons of a teacher, and what is served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from rich.console import Console
from rich.progress import Progress

from classifier import Classifier
from classifier.runtimes.static_linear import LINEAR_FILE, LinearModel
from training.candidates.static_vectors import rarity, token_vectors
from training.config.tfidf import StaticLinearConfig
from training.data import DataConfig, SplitConfig, Splits, load_data, split_data
from training.errors import TeacherUnusable, WeightsMissing
from training.kinds.candidate import train_candidate
from training.models.result import Trained, TrainingContext
from training.models.weights import load_network

WIDTH = 16


@pytest.fixture(scope="module")
def splits() -> Splits:
    config = DataConfig(split=SplitConfig(train_texts=150, validation_texts=100, test_texts=100))
    found = split_data(load_data(config, 42), config, 42)
    return replace(found, unlabelled=tuple(found.test.texts[:40]))


def context(folder: Path, name: str, **changed: object) -> TrainingContext:
    place = TrainingContext(
        name, folder / name / "bundle", folder / name, 1, Progress(console=Console(quiet=True)), **changed
    )
    place.bundle.mkdir(parents=True)
    return place


def train(
    config: StaticLinearConfig, splits: Splits, place: TrainingContext
) -> tuple[Classifier, Trained, LinearModel]:
    trained = train_candidate(config, splits, place)
    model = LinearModel.read(place.bundle / LINEAR_FILE, len(splits.labels))
    return Classifier.load(place.bundle, verify=False), trained, model


def accuracy(classifier: Classifier, splits: Splits) -> float:
    found = classifier.predict(splits.test.texts).argmax(axis=1)
    return float(
        np.mean(
            [splits.labels[column] == label for column, label in zip(found, splits.test.labels, strict=True)]
        )
    )


def test_terms_alone_are_learned_and_served(tmp_path: Path, splits: Splits) -> None:
    config = StaticLinearConfig(weights=None, character_ngrams=(3, 4), max_features=3000)
    classifier, trained, model = train(config, splits, context(tmp_path, "linear"))
    assert accuracy(classifier, splits) > 0.85
    assert model.token_block is None
    assert [block.terms.analyzer for block in model.term_blocks] == ["word", "char_wb"]
    assert trained.figures["parity_difference"] < 1e-3
    assert trained.figures["training_texts"] == 150


def test_token_vectors_are_distilled_once_and_kept(tmp_path: Path, splits: Splits) -> None:
    config = StaticLinearConfig(weights="random-bert", width=WIDTH)
    cache = tmp_path / "tokens"
    classifier, _, model = train(config, splits, context(tmp_path, "linear", tokens=cache))
    (kept,) = cache.glob("static-*.npy")
    written = kept.stat().st_mtime_ns
    again, _, other = train(config, splits, context(tmp_path, "again", tokens=cache))
    assert kept.stat().st_mtime_ns == written
    assert model.token_block is not None
    assert other.token_block is not None
    assert model.token_block.vectors.shape[1] == WIDTH
    np.testing.assert_array_equal(model.token_block.vectors, other.token_block.vectors)
    np.testing.assert_array_equal(classifier.predict(splits.test.texts), again.predict(splits.test.texts))
    assert accuracy(classifier, splits) > 0.7


def test_a_teacher_labels_the_texts_without_labels(tmp_path: Path, splits: Splits) -> None:
    teacher, _, _ = train(StaticLinearConfig(weights=None, C=30.0), splits, context(tmp_path, "teacher"))
    place = context(tmp_path, "student", siblings={"teacher": teacher.folder})
    config = StaticLinearConfig(weights=None, teacher="teacher")
    assert config.built_on == ("teacher",)
    student, trained, _ = train(config, splits, place)
    alone, _, _ = train(StaticLinearConfig(weights=None), splits, context(tmp_path, "alone"))
    assert trained.figures["unlabelled_texts"] == len(splits.unlabelled)
    probes = list(splits.unlabelled)
    assert np.abs(student.predict(probes) - alone.predict(probes)).max() > 0.01


def test_what_it_is_built_on_must_come_before(tmp_path: Path, splits: Splits) -> None:
    with pytest.raises(TeacherUnusable):
        train(
            StaticLinearConfig(weights=None, teacher="later"),
            splits,
            context(tmp_path, "one", siblings={"later": None}),
        )
    with pytest.raises(WeightsMissing):
        train(StaticLinearConfig(weights="later"), splits, context(tmp_path, "two", siblings={"later": None}))


def test_two_labels_keep_their_order(tmp_path: Path, splits: Splits) -> None:
    def two(part):  # type: ignore[no-untyped-def]
        return part.rows([row for row, label in enumerate(part.labels) if label in {"politics", "sports"}])

    few = replace(
        splits,
        train=two(splits.train),
        validation=two(splits.validation),
        test=two(splits.test),
    )
    classifier, _, _ = train(StaticLinearConfig(weights=None), few, context(tmp_path, "linear"))
    assert accuracy(classifier, few) > 0.9


def test_sizes_of_character_ngrams_are_in_order() -> None:
    with pytest.raises(ValidationError, match="character_ngrams"):
        StaticLinearConfig(character_ngrams=(4, 3))


def test_vectors_differ_by_token_and_are_ordered_by_variance() -> None:
    network, tokenizer = load_network("random-bert", ("a", "b"), None)
    vectors = token_vectors(network, tokenizer, width=WIDTH)
    assert vectors.shape == (len(tokenizer), WIDTH)
    variances = vectors.var(axis=0)
    assert (np.diff(variances) <= 1e-6).all()
    assert len(np.unique(vectors[:1000].round(4), axis=0)) > 900


def test_frequent_tokens_weigh_less() -> None:
    weights = rarity([[1, 1, 1, 2], [1, 2, 3]], tokens=5)
    assert weights[1] < weights[2] < weights[3] < weights[4] == weights[0]
