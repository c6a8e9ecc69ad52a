"""What goes wrong, and where; and labels that are wrong themselves, planted and found again."""

from __future__ import annotations

import csv
import itertools
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import fisher_exact

from classifier import Predictions
from tests.support.bundles import TOPICS, bbc_part
from training.config.evaluation import AnalysisConfig
from training.data import DataConfig, Part, SourceRow, Splits, load_data, split_data
from training.data.loading import bbc_rows
from training.evaluation.error_analysis import by_length, by_truncation, confident_mistakes, confusions
from training.evaluation.label_errors import (
    LabelError,
    out_of_sample,
    probable_label_errors,
    write_label_errors,
)
from training.evaluation.metrics import evaluate
from training.style import write_page

LABELS = ("a", "b")
PART = Part([f"word {'and ' * i}end" for i in range(10)], ["a"] * 6 + ["b"] * 4)


def _predictions(wrong: dict[int, float], truncated: int = 0) -> Predictions:
    """The right label with 0.9 but for the wrong rows, whose wrong label gets what is said."""
    rows = np.asarray([[0.9, 0.1]] * 6 + [[0.1, 0.9]] * 4, dtype=np.float32)
    for row, confidence in wrong.items():
        given = 1 if row < 6 else 0
        rows[row, given], rows[row, 1 - given] = confidence, 1 - confidence
    cut = [row >= 10 - truncated for row in range(10)]
    return Predictions(rows, list(range(10)), cut, np.zeros(10, dtype=np.int64))


def test_mistakes_are_listed_the_surest_first() -> None:
    found = confident_mistakes(PART, _predictions({1: 0.6, 7: 0.8, 9: 0.7}), LABELS, 2)
    assert [item.position for item in found] == [7, 9]
    assert (found[0].row, found[0].id) == (None, "")
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


def _planted(part: Part, share: float, seed: int = 1) -> tuple[Part, set[int]]:
    """`part` with a share of its labels exchanged, and where."""
    chance = random.Random(seed)
    rows = set(chance.sample(range(len(part)), round(share * len(part))))
    wrong = [
        chance.choice([topic for topic in TOPICS if topic != label]) if row in rows else label
        for row, label in enumerate(part.labels)
    ]
    return Part(part.texts, wrong, part.origins, part.source_rows), rows


@pytest.fixture(scope="module")
def dirty() -> tuple[Splits, dict[str, set[int]]]:
    """Articles of which 12 % have a wrong label, as many in every part."""
    config = DataConfig(limit=1000)
    splits = split_data(load_data(config, 1), config, 1)
    planted = {name: _planted(splits.parts()[name], 0.12) for name in ("train", "validation", "test")}
    wrong = {name: rows for name, (_, rows) in planted.items()}
    return replace(splits, **{name: part for name, (part, _) in planted.items()}), wrong


@pytest.fixture(scope="module")
def errors(dirty: tuple[Splits, dict[str, set[int]]]) -> list[LabelError]:
    return probable_label_errors(dirty[0], AnalysisConfig(), seed=1)


def test_planted_label_errors_are_found_in_every_part(
    dirty: tuple[Splits, dict[str, set[int]]], errors: list[LabelError]
) -> None:
    splits, wrong = dirty
    for name, planted in wrong.items():
        here = {error.position for error in errors if error.part == name}
        assert len(here & planted) >= 0.75 * len(planted), f"{name}: most of what was planted is listed"
        assert len(here & planted) >= 0.75 * len(here), f"{name}: most of what is listed was planted"
    for error in errors:
        part = splits.parts()[error.part]
        assert (part.texts[error.position], part.labels[error.position]) == (error.text, error.label)
        assert error.suggested != error.label
        assert error.suggested_probability > error.label_probability
    assert list(dict.fromkeys(error.part for error in errors)) == ["train", "validation", "test"]


def test_all_parts_are_measured_alike(
    dirty: tuple[Splits, dict[str, set[int]]], errors: list[LabelError]
) -> None:
    """Errors that are planted evenly are listed evenly: no share is further from another than chance allows."""
    sizes = {name: len(dirty[0].parts()[name]) for name in ("train", "validation", "test")}
    listed = {name: sum(error.part == name for error in errors) for name in sizes}
    for one, other in itertools.combinations(sizes, 2):
        table = [[listed[name], sizes[name] - listed[name]] for name in (one, other)]
        assert fisher_exact(table).pvalue > 0.05, (one, other, listed, sizes)


def test_a_label_error_names_the_row_of_the_source(
    dirty: tuple[Splits, dict[str, set[int]]], errors: list[LabelError], tmp_path: Path
) -> None:
    articles = list(bbc_rows())
    for error in errors:
        assert error.row is not None
        article = articles[error.row - 1]
        assert (article.text.strip(), article.id) == (error.text, error.id)
    with write_label_errors(tmp_path / "errors.csv", errors).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["row"], row["id"]) for row in rows] == [(str(error.row), error.id) for error in errors]
    assert [row["text"] for row in rows] == [error.text for error in errors]
    unknown = replace(errors[0], row=None, id="")
    with write_label_errors(tmp_path / "errors.csv", [unknown]).open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["row"] == ""


def test_few_texts_are_learned_only_on_request(
    dirty: tuple[Splits, dict[str, set[int]]],
) -> None:
    few = probable_label_errors(dirty[0], AnalysisConfig(label_error_texts=100), seed=1)
    assert {error.part for error in few} == {"train", "validation", "test"}
    assert probable_label_errors(dirty[0], AnalysisConfig(label_errors=False), seed=1) == []


def test_classes_too_small_to_be_learned_are_not_accused() -> None:
    texts = [f"red apple number {n}" for n in range(20)] + [f"blue car number {n}" for n in range(20)]
    part = Part([*texts, "green tree", "green bush"], ["fruit"] * 20 + ["car"] * 20 + ["plant"] * 2)
    empty = Part([], [])
    splits = Splits(part, empty, empty, empty, report=None)  # type: ignore[arg-type]
    assert probable_label_errors(splits, AnalysisConfig(), seed=1) == []
    few = Part(["a b", "c d", "e f"], ["x", "x", "y"])
    assert probable_label_errors(replace(splits, train=few), AnalysisConfig(), seed=1) == []


def test_out_of_sample_probabilities_exclude_the_text_itself() -> None:
    # Every label is drawn by lot: only a model that has learned a text can know its label.
    chance = np.random.default_rng(0)
    texts = bbc_part(0, 12)[0]
    part = Part(texts, [LABELS[i] for i in chance.integers(0, 2, len(texts))])
    crossed = out_of_sample(part, LABELS, seed=1)
    right = np.asarray([LABELS[i] for i in crossed.argmax(axis=1)]) == part.labels
    assert right.mean() < 0.65
    assert crossed.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert out_of_sample(Part(["x y", "z"], ["a", "b"]), LABELS, seed=1).tolist() == [[0, 1], [1, 0]]


def test_the_page_of_mistakes_names_row_and_id(tmp_path: Path) -> None:
    rows = [SourceRow(row + 100, f"T-{row}") for row in range(10)]
    part = Part(PART.texts, PART.labels, source_rows=rows)
    found = confident_mistakes(part, _predictions({7: 0.8}), LABELS, 2)[0]
    assert (found.row, found.id, found.position) == (107, "T-7", 7)
    page = write_page(
        "errors.html.j2", tmp_path / "errors.html", name="one", wrong=1, pairs=[], lengths=[], reading=[], picture="",
        scores=evaluate(_predictions({7: 0.8}).probabilities, PART.labels, LABELS, seed=0, resamples=100),
        mistakes=[found],
    ).read_text(encoding="utf-8")  # fmt: skip
    assert "row 107" in page
    assert "T-7" in page
