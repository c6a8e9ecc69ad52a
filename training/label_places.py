"""Names beside the points of a picture, each where it covers no other name and no point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

_GAP = 8.0
"""Pixels between a point and its name."""
_MARKER = 7.0
"""Pixels around a point that no name may cover."""
_REACH = 9
"""How many lines of text away from its point a name may stand."""


def place_labels(axes: Axes, named: Sequence[tuple[str, float, float]], *, size: float = 9) -> list[Bbox]:
    """Write each (name, x, y) beside its point, or, where that is taken, further away with a line to it.

    Call it when limits and layout are final. Returns the box of each name, in pixels.
    """
    renderer = cast(Any, axes.figure.canvas).get_renderer()
    frame = axes.get_window_extent(renderer)
    points = [axes.transData.transform((x, y)) for _, x, y in named]
    markers = [Bbox.from_extents(x - _MARKER, y - _MARKER, x + _MARKER, y + _MARKER) for x, y in points]
    boxes: list[Bbox] = []
    for (name, x, y), (pixel_x, pixel_y) in zip(named, points, strict=True):
        note = axes.annotate(
            name, (x, y), xytext=(0, 0), textcoords="figure pixels", fontsize=size, va="bottom", ha="left",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.4},
            arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.7, "shrinkA": 1, "shrinkB": 5},
        )  # fmt: skip
        extent = axes.figure.text(0, 0, name, fontsize=size)
        width, height = extent.get_window_extent(renderer).size
        extent.remove()
        places = list(_places(pixel_x, pixel_y, width, height))
        # The first that covers nothing; if there is none, the one that covers least.
        best = min(places, key=lambda place: _covered(place, [*markers, *boxes], frame))
        note.set_position((best.x0, best.y0))
        boxes.append(best)
    return boxes


def _places(x: float, y: float, width: float, height: float) -> Iterator[Bbox]:
    """Boxes for a name about the point (x, y), nearest first: beside it and a little higher, then further off."""
    for line in range(_REACH):
        for up in (1, -1):
            level = y - height / 2 + up * (line + 0.6) * height
            yield Bbox.from_bounds(x + _GAP, level, width, height)
            yield Bbox.from_bounds(x - _GAP - width, level, width, height)
            if line:
                yield Bbox.from_bounds(x - width / 2, level, width, height)


def _covered(place: Bbox, taken: Sequence[Bbox], frame: Bbox) -> float:
    """Square pixels of `place` that are taken, or lie outside the axes."""
    area: float = place.width * place.height
    inside = Bbox.intersection(place, frame)
    outside = area - (inside.width * inside.height if inside else 0.0)
    overlaps = (Bbox.intersection(place, other) for other in taken)
    return outside + sum(found.width * found.height for found in overlaps if found)
