"""The Pareto front of quality against serving cost, and its plot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from matplotlib.transforms import Bbox

from training.evaluation.cost import Cost
from training.evaluation.intervals import Interval
from training.style import LiteralFigure

_GAP = 8.0
"""Pixels between a point and its name."""
_MARKER = 7.0
"""Pixels around a point that no name may cover."""
_REACH = 9
"""Maximum distance of a label from its point, in lines of text."""


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


_FRONT, _DOMINATED = "#d98c3f", "#4c6a92"


@dataclass(frozen=True, slots=True)
class Point:
    """One candidate, or another file of it, on the curve."""

    name: str
    f1: Interval
    """Macro-F1 on the test part."""
    cost: Cost

    @property
    def milliseconds(self) -> float:
        """Median latency of a single text in ms."""
        return self.cost.milliseconds

    @property
    def megabytes(self) -> float:
        """Size of the files that serving loads."""
        return self.cost.megabytes

    def metrics(self, prefix: str) -> dict[str, float]:
        """Its figures by the names that MLflow keeps: `int8_test_macro_f1`, `int8_megabytes`, …"""
        figures = {
            "test_macro_f1": self.f1.value,
            "test_macro_f1_low": self.f1.low,
            "test_macro_f1_high": self.f1.high,
            "latency_ms_p50": self.milliseconds,
            "latency_ms_p95": self.cost.milliseconds_p95,
            "megabytes": self.megabytes,
        }
        return {f"{prefix}_{name}": value for name, value in figures.items()}

    def dominates(self, other: Point) -> bool:
        """Whether it is no worse than `other` in everything, and better in something."""
        mine = (self.f1.value, -self.milliseconds, -self.megabytes)
        theirs = (other.f1.value, -other.milliseconds, -other.megabytes)
        return mine != theirs and all(a >= b for a, b in zip(mine, theirs, strict=True))


def dominators(points: Sequence[Point]) -> dict[str, str | None]:
    """Name → the best of those that dominate it and are on the front themselves; None: it is on the front."""
    found: dict[str, str | None] = {}
    for point in points:
        better = [other for other in points if other.dominates(point)]
        # Every dominator is on the front or dominated by a point of it, so a point of the front exists.
        front = [other for other in better if not any(third.dominates(other) for third in points)]
        best = max(front, key=lambda other: (other.f1.value, -other.milliseconds), default=None)
        found[point.name] = best.name if best else None
    return found


def front_caption(points: Sequence[Point]) -> str:
    """Who is on the front, and who dominates whom, in sentences."""
    found = dominators(points)
    on_front = [name for name, by in found.items() if by is None]
    said = [f"On the Pareto front of quality, time and size: {', '.join(on_front)}."]
    for best in on_front:
        if beaten := [name for name, by in found.items() if by == best]:
            said.append(f"{best} dominates {', '.join(beaten)}.")
    return " ".join(said)


def front(points: Sequence[Point], cost: Callable[[Point], float]) -> list[Point]:
    """The points that nothing cheaper or as cheap equals or beats in macro-F1, by rising `cost`."""
    found: list[Point] = []
    for point in sorted(points, key=lambda point: (cost(point), -point.f1.value)):
        if not found or point.f1.value > found[-1].f1.value:
            found.append(point)
    return found


def draw(points: Sequence[Point], path: Path, *, title: str) -> Path:
    """Macro-F1 with its interval against latency, and against size, each with its Pareto front."""
    figure = LiteralFigure(figsize=(13, 5.6), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2, sharey=True)
    costs: tuple[tuple[Callable[[Point], float], str], ...] = (
        (lambda point: point.milliseconds, "latency per text, ms (log scale)"),
        (lambda point: point.megabytes, "megabytes that serving loads (log scale)"),
    )
    for axes, (cost, label) in zip(panels, costs, strict=True):
        _panel(axes, points, cost)
        axes.set_xlabel(label)
    panels[0].set_ylabel("macro-F1 on the test part, with its interval")
    figure.suptitle(title)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=3, frameon=False)
    figure.draw_without_rendering()  # places the axes; labels can only be fitted where they are
    for axes, (cost, _) in zip(panels, costs, strict=True):
        place_labels(axes, [(point.name, cost(point), point.f1.value) for point in points])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path


def _panel(axes: Axes, points: Sequence[Point], cost: Callable[[Point], float]) -> None:
    best = front(points, cost)
    for point in points:
        colour = _FRONT if point in best else _DOMINATED
        axes.plot([cost(point)] * 2, [point.f1.low, point.f1.high], color=colour, alpha=0.45, linewidth=2)
    # Between two points of the front nothing better was found, so the line goes in steps.
    axes.step(
        [cost(point) for point in best], [point.f1.value for point in best], where="post",
        color=_FRONT, linewidth=1.4, linestyle="--", label="Pareto front",
    )  # fmt: skip
    rest = [point for point in points if point not in best]
    for group, colour, label in ((best, _FRONT, "on the front"), (rest, _DOMINATED, "dominated")):
        axes.scatter(
            [cost(point) for point in group], [point.f1.value for point in group],
            s=58, color=colour, edgecolor="white", zorder=3, label=label,
        )  # fmt: skip
    axes.set_xscale("log")
    lowest, highest = min(map(cost, points)), max(map(cost, points))
    axes.set_xlim(lowest / 2.2, highest * 2.6)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
