"""The classifier's own embedding: a point for each text, its log-probabilities of all classes.

Reference and store hold every class's probability, so the embedding costs no second pass of the model, and a text whose
answer stays the same may still be seen to move: between which classes it lies, and how far from them. Two clouds of
points are compared by the maximum mean discrepancy with a Gaussian kernel (Gretton and others 2012, "A kernel
two-sample test"), in random Fourier features (Rahimi and Recht 2007), whose cost grows with the texts and not with
their square.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from classifier.reference import PROBABILITY_PREFIX
from monitoring.signals.chance import Draws, Floats, Score, score_against

_FEATURES = 128
_PAIRS = 2000
"""Pairs of texts of which the kernel's width, their median distance, is taken."""
_LEAST_PROBABILITY = 1e-4
"""Below it a probability says nothing more; its logarithm would drown all the others."""


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


def embedding_score(reference: Floats, window: Floats, draws: Draws) -> Score:
    """Maximum mean discrepancy of two sides' probabilities, (texts, classes) each, with its null at these sizes.

    0: the same cloud; at most √2. The features are drawn once and serve for the null too, so the permutation test is
    exact whatever they are.
    """
    features = _fourier_features(points_of(np.concatenate([reference, window])), draws.rng)
    # Single precision from here on, of the score and its null alike: half the time, and seven digits of it are right.
    features = (features - features.mean(axis=0)).astype(np.float32)
    # Centred, so the means of both sides point opposite ways, and one of them tells how far they are apart.
    stretch = len(features) / len(reference) / len(window)
    value = float(np.linalg.norm(features[len(reference) :].sum(axis=0)) * stretch)
    null = [
        np.linalg.norm(drawn.astype(np.float32) @ features, axis=1).astype(np.float64) * stretch
        for drawn in draws.blocks(len(reference), len(window))
    ]
    return score_against(value, np.concatenate(null))


def points_of(probabilities: Floats) -> Floats:
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
