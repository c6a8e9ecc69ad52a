"""Behavioural tests: the changes say the same in other words, and a classifier that minds is found out."""

from __future__ import annotations

import random
import re
from collections import Counter

import numpy as np
import pytest

from classifier import Classifier
from tests.support.bundles import TOPICS, bbc_part, sealed_tfidf_bundle
from training.config.evaluation import BehaviourConfig
from training.data import Part
from training.evaluation.behaviour import (
    CITIES,
    COUNTRIES,
    FAMILY_NAMES,
    FIRST_NAMES,
    Behaviour,
    BehaviourTest,
    changes,
    discriminative_terms,
    other_people,
    other_places,
    other_punctuation,
    run_behavioural_tests,
    with_typos,
)

TEXT = "Peter Baker and Anna Baker flew from London to Paris, Peter said; the flight was late."
LEARNED = Part(*bbc_part(0))
HELD_OUT = Part(*bbc_part(1))


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    return sealed_tfidf_bundle(tmp_path_factory.mktemp("behaviour") / "bundle")


class Stubborn:
    """A real classifier with a fault: texts that match it are all given the first label."""

    def __init__(self, classifier: Classifier, fault: str) -> None:
        self._classifier, self._fault = classifier, re.compile(fault)
        self.labels, self.max_length = classifier.labels, classifier.max_length

    def predict(self, texts: list[str]) -> np.ndarray:
        rows = self._classifier.predict(texts).copy()
        for row, text in zip(rows, texts, strict=True):
            if self._fault.search(text):
                row[:] = 0.01
                row[0] = 0.96
        return rows


def _named(behaviour: Behaviour) -> dict[str, BehaviourTest]:
    return {test.name: test for test in behaviour.tests}


def test_typos_exchange_letters_inside_words_and_nothing_else() -> None:
    typed = with_typos(TEXT, random.Random(1), share=0.3)
    assert typed != TEXT
    assert Counter(typed) == Counter(TEXT)
    pairs = list(zip(TEXT.split(), typed.split(), strict=True))
    touched = [(old, new) for old, new in pairs if old != new]
    assert 1 <= len(touched) <= 4
    for old, new in touched:
        assert old[0] == new[0]
    assert with_typos("a an the", random.Random(1), share=0.3) == "a an the"


def test_names_are_exchanged_consistently_within_their_kind() -> None:
    people = other_people(TEXT, random.Random(2))
    words = re.findall(r"\w+", people)
    assert not {"Peter", "Anna", "Baker"} & set(words)
    assert words[0] in FIRST_NAMES
    assert words[1] in FAMILY_NAMES
    assert words[0] == words[10], "the same person is the same person again"
    assert "London to Paris" in people
    places = re.findall(r"\w+", other_places(TEXT, random.Random(2)))
    assert {places[7], places[9]} <= set(CITIES) - {"London", "Paris"}
    assert other_places("nothing here", random.Random(2)) == "nothing here"
    assert not set(CITIES) & set(COUNTRIES)


def test_punctuation_changes_leave_the_words() -> None:
    for seed in range(4):
        changed = other_punctuation(TEXT, random.Random(seed))
        assert changed != TEXT
        assert re.findall(r"\w+", changed) == re.findall(r"\w+", TEXT)


def test_telling_terms_tell_the_classes() -> None:
    terms = discriminative_terms(LEARNED, 20)
    assert set(terms) == set(TOPICS)
    assert {"film", "award"} <= set(terms["entertainment"])
    assert {"labour", "minister"} <= set(terms["politics"])
    assert discriminative_terms(Part(["1", "2"], ["a", "b"]), 5) == {"a": [], "b": []}


def test_a_sound_classifier_passes_and_seeds_repeat(classifier: Classifier) -> None:
    config = BehaviourConfig(texts=40)
    found = run_behavioural_tests(classifier, LEARNED, HELD_OUT, config, seed=1)
    tests = _named(found)
    assert set(tests) == {*changes(0.05), "direction_own", "direction_other", "minimum_function"}
    for test in tests.values():
        assert test.share.value >= 0.9, test.name
        assert test.share.low <= test.share.value <= test.share.high
    assert tests["minimum_function"].tried == 10 * len(TOPICS)
    metrics = found.metrics()
    assert metrics["behaviour_invariance_case_low"] <= metrics["behaviour_invariance_case"]
    assert run_behavioural_tests(classifier, LEARNED, HELD_OUT, config, seed=1) == found
    assert "failures" not in found.as_dict(texts=False)[0]


@pytest.mark.parametrize(
    ("fault", "caught", "spared"),
    [
        (r"^[^a-z]+$|^[^A-Z]+$", "invariance_case", "invariance_people"),
        (r"  ", "invariance_punctuation", "invariance_case"),
        (r"^\w+ \w+ \w+\. ", "direction_other", "invariance_typos"),
        (r"^\w+ \w+ \w+ \w+ \w+$", "minimum_function", "direction_own"),
    ],
)
def test_a_classifier_with_a_fault_is_caught_by_the_test_for_it(
    classifier: Classifier, fault: str, caught: str, spared: str
) -> None:
    faulty = Stubborn(classifier, fault)
    config = BehaviourConfig(texts=40)
    tests = _named(run_behavioural_tests(faulty, LEARNED, HELD_OUT, config, seed=1))  # type: ignore[arg-type]
    assert tests[caught].share.value < 0.8
    assert tests[spared].share.value > 0.8
    assert 0 < len(tests[caught].failures) <= config.examples
    assert tests[caught].failures[0].after


def test_given_short_texts_replace_derived_ones(classifier: Classifier) -> None:
    config = BehaviourConfig(texts=20, minimum={"sports": ("The match ended in a draw.", "parliament votes")})
    found = _named(run_behavioural_tests(classifier, LEARNED, HELD_OUT, config, seed=1))["minimum_function"]
    assert found.tried == 10 * (len(TOPICS) - 1) + 2
    assert [item.after for item in found.failures if item.expected == "sports"] == ["parliament votes"]


def test_nothing_is_tried_where_nothing_is_asked_for(classifier: Classifier) -> None:
    assert run_behavioural_tests(
        classifier, LEARNED, HELD_OUT, BehaviourConfig(texts=0), seed=1
    ) == Behaviour(())


def test_too_few_names_are_no_test(classifier: Classifier) -> None:
    nameless = Part(["the market fell today"] * 30, ["business"] * 30)
    tests = _named(run_behavioural_tests(classifier, LEARNED, nameless, BehaviourConfig(texts=30), seed=1))
    assert "invariance_people" not in tests
    assert "invariance_case" in tests
