"""Accuracy from labels of a non-uniform sample: inverse-probability weights.

The label queue stores the inclusion probability of each prediction (`monitoring.labels.active_learning`). A label is
weighted by its inverse (Horvitz and Thompson 1952), divided by the sum of the weights (Hájek 1971), so that difficult
texts, which are sampled more often, do not bias the accuracy downwards. Batches with overlapping windows share the
overlap in proportion to their numbers of labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stores.predictions.queue import Progress, QueuedOutcome

MIN_RESPONSE = 0.5
"""Share of a batch that must be labelled. Before, users' own corrections may be most of what has come back, and those
are of wrong answers."""
DRAWS = 4000
_CELLS_AT_ONCE = 4_000_000

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class QueueLabels:
    """What the label queue knows of a window."""

    progress: Sequence[Progress]
    """Its batches that have enough labels."""
    outcomes: Sequence[QueuedOutcome]
    """Of those, the labelled predictions that stand in the window."""
    covered: int
    """Predictions of the window that one of the batches could have chosen."""


def answered_batches(progress: Sequence[Progress]) -> list[Progress]:
    """The batches that have enough labels."""
    return [item for item in progress if item.chosen and item.labelled >= MIN_RESPONSE * item.chosen]


def weights(labels: QueueLabels) -> Floats:
    """Weights of the outcomes, up to a common factor: predictions of the window that each represents."""
    by_id = {item.batch.id: item for item in labels.progress}
    found = []
    for outcome in labels.outcomes:
        own = by_id[outcome.batch]
        together = sum(
            item.labelled
            for item in labels.progress
            if item.batch.since <= outcome.created_at < item.batch.until
        )
        response = own.labelled / own.chosen
        found.append(own.labelled / together / (outcome.probability * response))
    return np.array(found)


@dataclass(frozen=True, slots=True)
class Corrected:
    """A weighted confusion table of all predictions that could have been sampled."""

    table: Floats
    """(k, k), rows true, columns predicted; scaled so that its sum is `effective`."""
    drawn: Floats
    """(DRAWS, k, k): what it might have been, each with sum 1."""
    effective: float
    """As many labels of evenly chosen predictions would be as good, at least (Kish 1965)."""


def corrected_table(labels: QueueLabels, names: Sequence[str], rng: np.random.Generator) -> Corrected:
    """Weigh the outcomes, and draw what chance could have made of them (the Bayesian bootstrap, Rubin 1981).

    Args:
        labels: with at least one outcome.
        names: all labels, predicted and true.
        rng: for the draws.
    """
    size = len(names)
    index = {name: position for position, name in enumerate(names)}
    weight = weights(labels)
    cells = np.array([index[o.true_label] * size + index[o.label] for o in labels.outcomes])
    one_hot = np.zeros((len(cells), size * size))
    one_hot[np.arange(len(cells)), cells] = weight
    effective = float(weight.sum() ** 2 / (weight**2).sum())
    drawn = np.empty((DRAWS, size * size))
    block = max(1, _CELLS_AT_ONCE // len(cells))
    for start in range(0, DRAWS, block):
        rows = min(block, DRAWS - start)
        drawn[start : start + rows] = rng.exponential(size=(rows, len(cells))) @ one_hot
    drawn /= drawn.sum(axis=1, keepdims=True)
    table = one_hot.sum(axis=0) / weight.sum() * effective
    return Corrected(table.reshape(size, size), drawn.reshape(-1, size, size), effective)
