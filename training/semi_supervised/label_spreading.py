"""Label spreading over a nearest-neighbour graph of sentence vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

_ROUNDS = 40
"""Enough at any `alpha` below 0.95: what a further round brings is below a thousandth of the mass."""
_WIDTH = 0.1
"""Cosine distance at which an edge counts e times less."""


def spread_labels(
    vectors: NDArray[np.float32], known: NDArray[np.int64], count: int, *, neighbours: int, alpha: float
) -> NDArray[np.float32]:
    """Probabilities of `count` labels for every text, (texts, count).

    Args:
        vectors: (texts, width), the texts with a label first.
        known: position of the label of each of those.
        count: how many labels there are.
        neighbours: edges that start at each text.
        alpha: share of its label that a text takes from its neighbours in each round, 0 to 1; the rest is what it
            began with.

    Raises:
        ValueError: `alpha` is not in (0, 1).
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie between 0 and 1, not be {alpha}")
    edges = _graph(vectors, neighbours)
    start = np.zeros((len(vectors), count))
    start[np.arange(len(known)), known] = 1.0
    mass = start.copy()
    for _ in range(_ROUNDS):
        mass = alpha * (edges @ mass) + (1 - alpha) * start
    # A text that no label has reached may be anything.
    shares = np.bincount(known, minlength=count) / len(known)
    mass = _rows_to_one(mass) + 1e-12
    balanced = mass / mass.sum(axis=0, keepdims=True) * shares
    probabilities: NDArray[np.float32] = _rows_to_one(balanced).astype(np.float32)
    return probabilities


def _graph(vectors: NDArray[np.float32], neighbours: int) -> sparse.csr_array:
    """Symmetric edges to the nearest texts, each row and column scaled by the root of its sum; (texts, texts)."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    wanted = min(neighbours, len(unit) - 1)
    found = NearestNeighbors(n_neighbors=wanted, metric="cosine", algorithm="brute").fit(unit)
    edges = sparse.csr_array(found.kneighbors_graph(mode="distance"))  # without the text itself
    edges.data = np.exp(-edges.data / _WIDTH)
    edges = sparse.csr_array(edges + edges.T)
    root = 1 / np.sqrt(np.maximum(edges.sum(axis=1), 1e-12))
    return sparse.csr_array(sparse.diags_array(root) @ edges @ sparse.diags_array(root))


def _rows_to_one(mass: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = mass / np.maximum(mass.sum(axis=1, keepdims=True), 1e-12)
    return scaled
