"""Which candidates are worth what they cost, and that their names can be read in the picture."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from training.evaluation.cost import Cost
from training.evaluation.intervals import Interval
from training.evaluation.pareto import Point, dominators, draw, front, front_caption, place_labels


def point(name: str, f1: float, milliseconds: float, megabytes: float) -> Point:
    return Point(name, Interval(f1, f1 - 0.01, f1 + 0.01), Cost(milliseconds, 2 * milliseconds, megabytes))


POINTS = [
    point("large", 0.90, 10, 90),
    point("large int8", 0.89, 6, 23),
    point("half", 0.88, 5, 70),
    point("slow half", 0.87, 7, 70),
    point("worst", 0.70, 12, 95),
    point("words", 0.83, 0.7, 2),
]


def test_standings_name_who_is_better_in_everything() -> None:
    assert dominators(POINTS) == {
        "large": None,
        "large int8": None,
        "half": None,
        "slow half": "large int8",
        "worst": "large",
        "words": None,
    }
    assert front_caption(POINTS) == (
        "On the Pareto front of quality, time and size: large, large int8, half, words. large dominates worst. "
        "large int8 dominates slow half."
    )


def test_equals_do_not_dominate_each_other() -> None:
    twins = [point("one", 0.9, 1, 1), point("other", 0.9, 1, 1)]
    assert dominators(twins) == {"one": None, "other": None}


def test_the_front_rises_with_its_cost() -> None:
    assert [p.name for p in front(POINTS, lambda p: p.milliseconds)] == [
        "words",
        "half",
        "large int8",
        "large",
    ]
    assert [p.name for p in front(POINTS, lambda p: p.megabytes)] == ["words", "large int8", "large"]
    on_some_front = {
        point.name
        for found in (front(POINTS, lambda p: p.milliseconds), front(POINTS, lambda p: p.megabytes))
        for point in found
    }
    assert on_some_front <= {name for name, by in dominators(POINTS).items() if by is None}


def test_names_cover_neither_one_another_nor_points() -> None:
    figure = Figure(figsize=(7, 5), dpi=120)
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    named = [(f"candidate number {n}", 5 + 0.05 * (n % 3), 0.5 + 0.004 * n) for n in range(12)]
    axes.scatter([x for _, x, _ in named], [y for _, _, y in named])
    axes.set(xlim=(4, 6), ylim=(0.4, 0.7))
    figure.draw_without_rendering()
    boxes = place_labels(axes, named)
    for one, other in combinations(boxes, 2):
        assert Bbox.intersection(one, other) is None
    for _, x, y in named:
        assert not any(box.contains(*axes.transData.transform((x, y))) for box in boxes)


def test_it_is_drawn(tmp_path: Path) -> None:
    picture = draw(POINTS, tmp_path / "new" / "pareto.png", title="try")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size > 20_000
