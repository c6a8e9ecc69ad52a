"""A confusion matrix, drawn into whatever picture shows it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from training.evaluation import Scores


def fill_confusion(axes: Axes, scores: Scores, *, most_numbered: int) -> AxesImage:
    """True against given labels: each row's shares as colour, and up to `most_numbered` labels the numbers of texts."""
    labels, counts = list(scores.classes), np.asarray(scores.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("label given")
    axes.set_ylabel("label true")
    axes.spines[:].set_visible(False)
    if len(labels) <= most_numbered:
        for row, column in np.ndindex(counts.shape):
            axes.text(
                column, row, str(counts[row, column] or "·"), ha="center", va="center",
                color="white" if shares[row, column] > 0.55 else "#333333",
            )  # fmt: skip
    return image
