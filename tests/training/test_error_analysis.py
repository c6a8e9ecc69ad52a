"""What goes wrong, and where; and labels that are wrong themselves, planted and found again."""

from __future__ import annotations

import csv
import random
from pathlib import Path

import numpy as np
import pytest

from classifier import Classifier, Predictions
from tests.support.bundles import TOPICS, bbc_part, sealed_tfidf_bundle
from training.data import DataConfig, Part, load_data, split_data
from training.error_analysis.config import AnalysisConfig
from training.error_analysis.label_errors import (
    out_of_sample,
    probable_label_errors,
    write_label_errors,
)
from training.error_analysis.lengths import by_length, by_truncation
from training.error_analysis.mistakes import confident_mistakes, confusions
from training.evaluation import evaluate

LABELS = ("a", "b")
PART = Part([f"word {'and ' * i}end" for i in range(10)], ["a"] * 6 + ["b"] * 4)


def _predictions(wrong: dict[int, float], truncated: int = 0) -> Predictions:
    """The right label with 0.9 but for the wrong rows, whose wrong label gets what is said."""
    rows = np.asarray([[0.9, 0.1]] * 6 + [[0.1, 0.9]] * 4, dtype=np.float32)
    for row, confidence in wrong.items():
        given = 1 if row < 6 else 0
        rows[row, given], rows[row, 1 - given] = confidence, 1 - confidence
    cut = [row >= 10 - truncated for row in range(10)]
    return Predictions(rows, list(range(10)), cut)


def test_mistakes_are_listed_the_surest_first() -> None:
    found = confident_mistakes(PART, _predictions({1: 0.6, 7: 0.8, 9: 0.7}), LABELS, 2)
    assert [item.row for item in found] == [7, 9]
    assert (found[0].label, found[0].given) == ("b", "a")
    assert found[0].text == PART.texts[7]
    assert (found[0].confidence, found[0].label_probability) == pytest.approx((0.8, 0.2))


def test_confused_pairs_are_ranked_with_their_share() -> None:
    predictions = _predictions({0: 0.6, 1: 0.6, 7: 0.8})
    scores = evaluate(predictions.probabilities, PART.labels, LABELS, seed=0, resamples=100)
    first, second = confusions(scores, 0.95)
    assert (first.label, first.given, first.texts) == ("a", "b", 2)
    assert first.share.value == pytest.approx(2 / 6)
    assert (second.label, second.given, second.texts) == ("b", "a", 1)


def test_accuracy_by_length_covers_every_text_once() -> None:
    groups = by_length(PART, _predictions({8: 0.8, 9: 0.7}), LABELS, 0.95)
    assert [group.texts for group in groups] == [2, 2, 2, 2, 2]
    assert [group.accuracy.value for group in groups] == [1, 1, 1, 1, 0]
    assert groups[0].name == "2 to 3 words"
    whole, cut = by_truncation(PART, _predictions({8: 0.8, 9: 0.7}, truncated=3), LABELS, 0.95)
    assert (whole.texts, whole.accuracy.value) == (7, 1)
    assert (cut.texts, cut.accuracy.value) == (3, pytest.approx(1 / 3))
    alike = Part(["one two"] * 10, PART.labels)
    assert [group.name for group in by_length(alike, _predictions({}), LABELS, 0.95)] == ["2 words"]


def _planted(texts: list[str], labels: list[str], share: float) -> tuple[Part, set[int]]:
    chance = random.Random(1)
    rows = set(chance.sample(range(len(texts)), round(share * len(texts))))
    wrong = [
        chance.choice([topic for topic in TOPICS if topic != label]) if row in rows else label
        for row, label in enumerate(labels)
    ]
    return Part(texts, wrong), rows


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return sealed_tfidf_bundle(tmp_path_factory.mktemp("errors") / "bundle")


def test_planted_label_errors_are_found_in_every_part(classifier: Classifier, tmp_path: Path) -> None:
    config = DataConfig(limit=500)
    splits = split_data(load_data(config, 1), config, 1)
    parts = {
        name: _planted(part.texts, part.labels, 0.08)
        for name, part in (
            ("train", splits.train), ("validation", splits.validation), ("test", splits.test),
        )
    }  # fmt: skip
    dirty = type(splits)(
        parts["train"][0], parts["validation"][0], parts["test"][0], splits.reserve, splits.report
    )
    validation, test = (classifier.predict(part.texts) for part in (dirty.validation, dirty.test))
    errors = probable_label_errors(dirty, validation, test, AnalysisConfig(), seed=1)
    listed = {(error.part, error.row) for error in errors}
    for names in (("train",), ("validation", "test")):
        planted = {(name, row) for name in names for row in parts[name][1]}
        here = {place for place in listed if place[0] in names}
        assert len(here & planted) >= 0.5 * len(planted), f"{names}: most of what was planted is listed"
        assert len(here & planted) >= 0.6 * len(here), f"{names}: most of what is listed was planted"
    for error in errors:
        part = dirty.parts()[error.part]
        assert (part.texts[error.row], part.labels[error.row]) == (error.text, error.label)
        assert error.suggested != error.label
        assert error.suggested_probability > error.label_probability

    with write_label_errors(tmp_path / "errors.csv", errors).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == [error.text for error in errors]
    assert rows[0]["suggested"] == errors[0].suggested


def test_a_sample_is_searched_where_there_are_many_and_nothing_where_it_is_not_asked(
    classifier: Classifier,
) -> None:
    config = DataConfig(limit=300)
    splits = split_data(load_data(config, 1), config, 1)
    dirty = type(splits)(
        _planted(splits.train.texts, splits.train.labels, 0.2)[0], splits.validation, splits.test,
        splits.reserve, splits.report,
    )  # fmt: skip
    held_out = (classifier.predict(splits.validation.texts), classifier.predict(splits.test.texts))
    errors = probable_label_errors(dirty, *held_out, AnalysisConfig(label_error_texts=60), seed=1)
    listed = [error.row for error in errors if error.part == "train"]
    assert 0 < len(listed) <= 60
    assert all(dirty.train.labels[error.row] == error.label for error in errors if error.part == "train")
    assert probable_label_errors(dirty, *held_out, AnalysisConfig(label_errors=False), seed=1) == []


def test_probabilities_out_of_sample_know_nothing_of_the_text_itself() -> None:
    # Every label is drawn by lot: whoever had learned a text would know its label, and nobody else can.
    chance = np.random.default_rng(0)
    texts = bbc_part(0, 12)[0]
    part = Part(texts, [LABELS[i] for i in chance.integers(0, 2, len(texts))])
    crossed = out_of_sample(part, LABELS, seed=1)
    assert crossed is not None
    right = np.asarray([LABELS[i] for i in crossed.argmax(axis=1)]) == part.labels
    assert right.mean() < 0.65
    assert out_of_sample(Part(["x y", "z"], ["a", "b"]), LABELS, seed=1) is None
