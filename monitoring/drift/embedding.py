"""The signal `embedding`: the log-probabilities of all classes, one point per text.

The reference and the store hold the probability of every class, so the embedding needs no second pass of the model. It
also shows changes that leave the predicted label as it is: between which classes a text lies, and how far from them.
Two sets of points are compared by the maximum mean discrepancy with a Gaussian kernel (Gretton and others 2012, "A
kernel two-sample test"), in random Fourier features (Rahimi and Recht 2007), whose cost is linear in the number of
texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from classifier.reference import PROBABILITY_PREFIX
from monitoring.drift.numeric import went
from monitoring.drift.permutation import Floats, PermutationSampler, Score, permutation_score
from monitoring.drift.signal import (
    Comparison,
    DriftData,
    DriftSignal,
    NotComparable,
    Sides,
    SignalSettings,
    register_signal,
)
from monitoring.figures import paired_bars

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_FEATURES = 128
_PAIRS = 2000
"""Pairs of texts of which the kernel's width, their median distance, is taken."""
_LEAST_PROBABILITY = 1e-4
"""Smaller probabilities are raised to it; their logarithms would dominate all others."""
_CONSIDERED = 0.1
"""Probability from which a text may belong to a class."""


class EmbeddingSettings(SignalSettings):
    """Effect floor of `embedding`."""

    monitoring_min_embedding_shift: float = Field(default=0.1, ge=0)
    """Effect floor of the classifier's embedding: maximum mean discrepancy of the log-probabilities."""


@register_signal
class Embedding(DriftSignal):
    """Probabilities of all classes, compared by maximum mean discrepancy."""

    name, title, unit, order = "embedding", "Embedding", "mean probability", 50
    measure = "Maximum mean discrepancy of the log-probabilities of all classes"
    settings_class = EmbeddingSettings
    settings: EmbeddingSettings

    def floor(self, data: DriftData) -> float:  # noqa: ARG002
        """MONITORING_MIN_EMBEDDING_SHIFT."""
        return self.settings.monitoring_min_embedding_shift

    def sides(self, data: DriftData) -> Sides:
        """(texts, classes): the probabilities of each answer."""
        classes, answers = classes_of(data.reference), data.window.answers
        return Sides(
            reference_probabilities(data.reference),
            logged_probabilities([row.scores for row in answers], classes),
            classes,
            times=[row.created_at for row in answers],
        )

    def score(self, comparison: Comparison, data: DriftData) -> Score:
        """The maximum mean discrepancy with its null."""
        before, now = _probabilities(comparison)
        if before.shape[1] == 0:
            raise NotComparable("The reference profile holds no probabilities of the classes.")
        return embedding_score(before, now, data.sampler)

    def describe(self, comparison: Comparison) -> str:
        """The class whose mean probability changed most, or the one that is considered more or less often."""
        sides, classes = _probabilities(comparison), comparison.sides.classes
        before, now = (side.mean(axis=0) for side in sides)
        most = int(np.abs(now - before).argmax())
        if (means := (f"{before[most]:.2f}", f"{now[most]:.2f}"))[0] != means[1]:
            return f"the mean probability of {classes[most]} {went(*means)}"
        # Equal means may hide that texts moved: in how many of them is the class considered at all?
        before, now = ((side > _CONSIDERED).mean(axis=0) for side in sides)
        most = int(np.abs(now - before).argmax())
        shares = f"{before[most]:.1%}", f"{now[most]:.1%}"
        if shares[0] != shares[1]:
            return f"texts that may be {classes[most]} (more than {_CONSIDERED:.0%} probable) {went(*shares)}"
        return "the joint distribution of the probabilities changed, with the same means"

    def figure(self, comparison: Comparison) -> Figure:
        """Mean probabilities of the classes on both sides."""
        before, now = (side.mean(axis=0) for side in _probabilities(comparison))
        return paired_bars(comparison.sides.classes, before, now, unit=self.unit)

    def features(self, comparison: Comparison) -> Floats:
        """The log-probabilities."""
        return log_probabilities(np.concatenate(_probabilities(comparison)))


def _probabilities(comparison: Comparison) -> tuple[Floats, Floats]:
    return np.asarray(comparison.reference, dtype=float), np.asarray(comparison.window, dtype=float)


def classes_of(reference: pd.DataFrame) -> tuple[str, ...]:
    """The classes whose probabilities a reference profile holds."""
    return tuple(
        name.removeprefix(PROBABILITY_PREFIX)
        for name in reference.columns
        if name.startswith(PROBABILITY_PREFIX)
    )


def reference_probabilities(reference: pd.DataFrame) -> Floats:
    """(texts, classes) of a reference profile, in the order of `classes_of`."""
    columns = [PROBABILITY_PREFIX + label for label in classes_of(reference)]
    probabilities: Floats = reference[columns].to_numpy(dtype=float)
    return probabilities


def logged_probabilities(scores: Sequence[Mapping[str, float]], classes: Sequence[str]) -> Floats:
    """(texts, classes) of logged predictions; a class that was not logged had no probability."""
    rows = [[row.get(name, 0.0) for name in classes] for row in scores]
    return np.array(rows, dtype=float).reshape(len(rows), len(classes))


def embedding_score(reference: Floats, window: Floats, sampler: PermutationSampler) -> Score:
    """Maximum mean discrepancy of two sides' probabilities, (texts, classes) each, with its null at these sizes.

    0: the same cloud; at most √2. The features are drawn once and serve for the null too, so the permutation test is
    exact whatever they are.
    """
    features = _fourier_features(log_probabilities(np.concatenate([reference, window])), sampler.rng)
    # Single precision from here on, of the score and its null alike: half the time, and seven digits of it are right.
    features = (features - features.mean(axis=0)).astype(np.float32)
    # Centred, so the means of both sides point opposite ways, and one of them tells how far they are apart.
    stretch = len(features) / len(reference) / len(window)
    value = float(np.linalg.norm(features[len(reference) :].sum(axis=0)) * stretch)
    null = [
        np.linalg.norm(drawn.astype(np.float32) @ features, axis=1).astype(np.float64) * stretch
        for drawn in sampler.blocks(len(reference), len(window))
    ]
    return permutation_score(value, np.concatenate(null))


def log_probabilities(probabilities: Floats) -> Floats:
    """The embedding: logarithms, so that 0.001 and 0.1 are as far apart as 0.1 and 10 would be."""
    logs: Floats = np.log(np.clip(probabilities, _LEAST_PROBABILITY, 1.0))
    return logs


def _fourier_features(points: Floats, rng: np.random.Generator) -> Floats:
    """(texts, _FEATURES): the dot product of two rows is about the Gaussian kernel of the two points."""
    first, second = rng.integers(len(points), size=(2, _PAIRS))
    apart = np.linalg.norm(points[first] - points[second], axis=1)
    width = float(np.median(apart[apart > 0])) if (apart > 0).any() else 1.0
    directions = rng.normal(size=(points.shape[1], _FEATURES // 2)) / width
    turned = points @ directions
    features: Floats = np.concatenate([np.cos(turned), np.sin(turned)], axis=1) / np.sqrt(_FEATURES // 2)
    return features
