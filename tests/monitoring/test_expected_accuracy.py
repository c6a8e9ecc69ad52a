"""How well the accuracy that is expected without labels tracks the real one, when the traffic shifts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from classifier import Classifier
from tests.monitoring.conftest import House, mistyped, normal


def expected_and_real(classifier: Classifier, texts: list[str], labels: list[str]) -> tuple[float, float]:
    found = classifier.classify(texts).probabilities
    predicted = [classifier.labels[position] for position in found.argmax(axis=1)]
    return float(found.max(axis=1).mean()), float(
        np.mean([a == b for a, b in zip(predicted, labels, strict=True)])
    )


def test_it_falls_with_the_real_one(house: House) -> None:
    texts, labels = normal(300)
    shifts = [0.0, 0.15, 0.3, 0.45, 0.6]
    found = [expected_and_real(house.classifier, mistyped(texts, share), labels) for share in shifts]
    expected, real = zip(*found, strict=True)
    assert spearmanr(expected, real).statistic > 0.9, found
    assert expected[0] - expected[-1] > 0.2, "half of the letters gone cannot pass unseen"


def test_what_a_check_expects_is_what_the_model_said(house: House) -> None:
    texts, labels = normal(120)
    house.answer(texts, labels=labels)
    accuracy = house.verdict().accuracy
    expected, real = expected_and_real(house.classifier, texts, labels)
    assert accuracy.expected_accuracy == pytest.approx(expected, abs=0.01), "each text once"
    assert accuracy.accuracy is not None
    assert accuracy.accuracy.value == pytest.approx(real)
    assert accuracy.expected_accuracy is not None
    assert abs(accuracy.expected_accuracy - real) < 0.25, "an estimate, and no more than that"
