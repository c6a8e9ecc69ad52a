"""A map of reference and live texts: where the classifier puts them, seen from where they differ most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.decomposition import PCA

from monitoring.pictures import REFERENCE_COLOUR, WINDOW_COLOUR, as_svg, new_figure
from monitoring.signals.chance import Floats
from monitoring.signals.comparison import Comparison
from monitoring.signals.embedding import points_of

_MOST_POINTS = 600
"""Of either side: more would hide one another, and swell the page."""


def map_picture(comparisons: Sequence[Comparison]) -> str | None:
    """Both sides' embeddings on their first two principal components; None where they were not measured."""
    item = next((item for item in comparisons if item.kind == "points" and item.score is not None), None)
    if item is None or len(item.classes) < 2:
        return None
    reference, window = (points_of(np.asarray(side, dtype=float)) for side in (item.reference, item.window))
    # Directions of the reference: a map that turned with the window could not be compared with yesterday's.
    plane = PCA(n_components=2, svd_solver="full").fit(reference)
    figure, axes = new_figure(6.4, 4.2)
    for points, colour, size in ((reference, REFERENCE_COLOUR, 12), (window, WINDOW_COLOUR, 15)):
        places = plane.transform(_spread(points))
        axes.scatter(places[:, 0], places[:, 1], s=size, color=colour, alpha=0.45, linewidths=0)
    drawn = plane.transform(reference)
    for position, name in enumerate(item.classes):
        own = drawn[reference.argmax(axis=1) == position]
        if len(own):
            x, y = np.median(own, axis=0)
            box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5}
            axes.annotate(name, (x, y), ha="center", va="center", fontsize=9, color="#0f172a", bbox=box)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlabel(f"{plane.explained_variance_ratio_[:2].sum():.0%} of the reference's spread")
    return as_svg(figure)


def _spread(points: Floats) -> Floats:
    """At most `_MOST_POINTS` of them, evenly over their order."""
    spread: Floats = points[np.linspace(0, len(points) - 1, min(len(points), _MOST_POINTS)).astype(int)]
    return spread
