"""The accuracy to expect of a window without labels, with its interval: confidence-based performance estimation.

The mean confidence of a window is its accuracy where the classifier is calibrated (Guillory and others 2021,
"Predicting with confidence on unseen distributions"; NannyML's CBPE). Temperature scaling calibrates all classes at
once, and a class that is often predicted wrongly keeps too high a confidence. So the probability that an answer is
right is calibrated for each predicted class on the reference, whose labels are known, and averaged over the window.
This holds while the texts belong to the classes, whatever their mix. Texts of no class are answered with confidence,
too, so nothing is estimated where many texts are unlike the reference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import expit, logit, ndtri, softmax

from classifier.reference import PROBABILITY_PREFIX
from monitoring.drift.permutation import Floats
from monitoring.drift.signal import Comparison
from monitoring.verdict import Estimate, ExpectedAccuracy
from stores.predictions import LabelledPrediction

_LEAST_PROBABILITY = 1e-4
_OF_CLASS = 1.0
"""Precision of the prior of a class's intercept: a class of few reference texts takes that of all classes."""
_OF_SLOPE = 0.25
"""Precision of the prior of the slope (around 1, no change) per reference text. Confident answers that are wrong, often
by a wrong label, make the fitted slope too flat, and a window of uncertain answers would look better than it is."""
_STEPS = 50

NOVEL_QUANTILE = 0.95
"""A text with more unseen words than this share of the reference texts is novel; 5 % of unchanged traffic are."""
MOST_NOVEL = 0.15
"""Share of novel texts above which there is no estimate."""
_FEWEST = 20
"""Answers, and reference texts, below which there is no estimate."""


def expect_accuracy(
    answers: Sequence[LabelledPrediction],
    reference: pd.DataFrame,
    labels: Sequence[str],
    *,
    novel_share: float | None,
    alpha: float,
) -> ExpectedAccuracy:
    """The accuracy of `answers` that their probabilities let expect.

    Args:
        answers: predictions of the window.
        reference: its reference profile, with `label`, `predicted` and the probability of each class.
        labels: the model's classes.
        novel_share: share of the texts that are novel; None where texts are not stored.
        alpha: 1 − the level of the interval for the accuracy that labels of these answers would show. It counts the
            error of the calibration and the chance of few answers.
    """
    facts = {
        "mean_confidence": float(np.mean([row.score for row in answers])) if answers else None,
        "novel_share": novel_share,
    }
    columns = [PROBABILITY_PREFIX + name for name in labels]
    if len(answers) < _FEWEST or len(reference) < _FEWEST or not set(columns) <= set(reference.columns):
        return ExpectedAccuracy(
            estimate=None, words="Too few answers or reference texts for an estimate.", **facts
        )
    if novel_share is not None and novel_share > MOST_NOVEL:
        words = (
            f"No estimate: {novel_share:.0%} of the texts are unlike the reference (in unchanged traffic about "
            f"{1 - NOVEL_QUANTILE:.0%}), and confidence says nothing about texts of no class."
        )
        return ExpectedAccuracy(estimate=None, words=words, **facts)
    calibration = fit_calibration(
        reference[columns].to_numpy(dtype=float),
        np.array([labels.index(name) if name in labels else -1 for name in reference["label"]]),
    )
    probabilities = np.array([[row.scores.get(name, 0.0) for name in labels] for row in answers])
    estimate = calibration.estimate(probabilities, alpha)
    words = (
        f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%}), from the answers' probabilities"
    )
    unknown = (
        "; texts are not stored, so how many of them are of no class is not known"
        if novel_share is None
        else ""
    )
    return ExpectedAccuracy(estimate=estimate, words=f"{words}{unknown}.", **facts)


def novel_share(comparisons: Sequence[Comparison], texts: int) -> float | None:
    """Share of the window's `texts` with more unseen words than 95 % of the reference texts; None: not measured."""
    item = next((item for item in comparisons if item.name == "unseen_words" and not item.problem), None)
    if item is None or not texts or not len(item.reference):
        return None
    limit = np.quantile(np.asarray(item.reference, dtype=float), NOVEL_QUANTILE)
    return float((np.asarray(item.window, dtype=float) > limit).sum()) / texts


@dataclass(frozen=True, slots=True)
class Calibration:
    """Probability that an answer is right, by its confidence and its class: a logistic regression with priors."""

    temperature: float
    coefficients: Floats
    """Slope of the logit of the confidence, common intercept, and one intercept for each class; (2 + classes,)."""
    covariance: Floats
    """Of the coefficients (Laplace's approximation)."""

    def estimate(self, probabilities: Floats, alpha: float) -> Estimate:
        """The expected accuracy of (answers, classes) with its interval of level 1 − `alpha`."""
        design = _design(probabilities, self.temperature)
        right = expit(design @ self.coefficients)
        spread = right * (1 - right)
        gradient = (spread[:, None] * design).mean(axis=0)
        variance = gradient @ self.covariance @ gradient + spread.mean() / len(right)
        value = float(np.clip(right.mean(), _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY))
        # On the scale of the logit, so that the interval of an accuracy near 1 stays below it.
        reach = float(-ndtri(alpha / 2) * np.sqrt(variance) / (value * (1 - value)))
        low, high = expit(logit(value) - reach), expit(logit(value) + reach)
        return Estimate(value=value, low=float(low), high=float(high))


def fit_calibration(probabilities: Floats, truth: np.ndarray) -> Calibration:
    """Calibrate on the reference.

    Args:
        probabilities: (texts, classes).
        truth: the true class's position of each text; −1 for a label that the model lacks.
    """
    from scipy.optimize import minimize_scalar

    known = truth >= 0
    log = np.log(np.clip(probabilities[known], _LEAST_PROBABILITY, 1))

    def loss(temperature: float) -> float:
        scaled = softmax(log / temperature, axis=1)
        return float(-np.log(np.clip(scaled[np.arange(len(scaled)), truth[known]], 1e-12, 1)).mean())

    temperature = float(minimize_scalar(loss, bounds=(0.1, 10.0), method="bounded").x)
    design = _design(probabilities, temperature)
    right = (probabilities.argmax(axis=1) == truth).astype(float)
    prior = np.r_[_OF_SLOPE * len(right), 1e-3, np.full(probabilities.shape[1], _OF_CLASS)]
    usual = np.r_[1.0, np.zeros(len(prior) - 1)]
    coefficients = usual.copy()
    for _ in range(_STEPS):  # Newton's method; the loss is convex
        expected = expit(design @ coefficients)
        gradient = design.T @ (expected - right) + prior * (coefficients - usual)
        hessian = (design * (expected * (1 - expected))[:, None]).T @ design + np.diag(prior)
        step = np.linalg.solve(hessian, gradient)
        coefficients = coefficients - step
        if np.abs(step).max() < 1e-8:
            break
    return Calibration(temperature, coefficients, np.linalg.inv(hessian))


def _design(probabilities: Floats, temperature: float) -> Floats:
    """Columns: logit of the confidence at that temperature, 1, and the class of the answer; (answers, 2 + classes)."""
    scaled = softmax(np.log(np.clip(probabilities, _LEAST_PROBABILITY, 1)) / temperature, axis=1)
    confidence = np.clip(scaled.max(axis=1), _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY)
    answered = np.eye(probabilities.shape[1])[probabilities.argmax(axis=1)]
    return np.column_stack([logit(confidence), np.ones(len(answered)), answered])
