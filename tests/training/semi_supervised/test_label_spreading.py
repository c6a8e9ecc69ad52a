"""Labels spreading over a graph."""

from __future__ import annotations

import numpy as np
import pytest

from tests import golden_messages as messages
from training.semi_supervised.self_training import spread_labels


def clusters() -> tuple[np.ndarray, np.ndarray]:
    """Vectors along two arcs and the arc of each; the two at the front are the labelled ones, one an arc."""
    rng = np.random.default_rng(0)
    angles = np.concatenate([np.linspace(0.0, 1.2, 60), np.linspace(1.5, 2.7, 60)])
    truth = np.repeat([0, 1], 60)
    order = np.concatenate([[0, 119], rng.permutation(np.arange(1, 119))])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1)[order].astype(np.float32)
    return vectors, truth[order]


def test_one_label_an_arc_reaches_all_of_the_arc() -> None:
    vectors, truth = clusters()
    found = spread_labels(vectors, truth[:2], 2, neighbours=4, alpha=0.99)
    assert found.shape == (120, 2)
    assert found.sum(axis=1) == pytest.approx(1, abs=1e-5)
    # The nearest labelled text alone would get the ends of the arcs right, too; the graph also gets the middle.
    assert (found.argmax(axis=1) == truth).all()


def test_a_reach_of_one_would_never_come_to_rest() -> None:
    vectors, truth = clusters()
    with pytest.raises(ValueError, match=messages.ALPHA_BOUNDS):
        spread_labels(vectors, truth[:2], 2, neighbours=4, alpha=1.0)
