"""Pictures of a verdict: both sides of every signal, side by side; SVG as data addresses, so a report is one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from sklearn.decomposition import PCA

from monitoring.drift.embedding import log_probabilities
from monitoring.drift.permutation import Floats
from monitoring.drift.signal import Comparison, relative_change
from monitoring.figures import BREACH_COLOUR, REFERENCE_COLOUR, WINDOW_COLOUR, as_svg, new_figure, on_one_line
from monitoring.verdict import Accuracy, ClassScore, Drift

_CLASS_COLOURS = {"breach": BREACH_COLOUR, "ok": WINDOW_COLOUR, "insufficient_data": "#bfdbfe"}
_MOST_CLASSES = 20
"""Classes that have a row of their own; of more, those whose F1 fell most, and the others together."""
_BEHIND = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}


def overview_picture(drift: Drift) -> str | None:
    """Every judged signal as a share of the threshold from which it is a breach."""
    judged = [
        s for s in drift.signals if s.status in ("ok", "breach") and s.value is not None and s.threshold
    ]
    if not judged:
        return None
    ratios = [relative_change(s.value or 0.0, s.threshold or 1.0, s.name) for s in judged]
    figure, axes = new_figure(6.4, 0.42 * len(judged) + 0.9)
    places = np.arange(len(judged))[::-1]
    colours = [BREACH_COLOUR if s.status == "breach" else WINDOW_COLOUR for s in judged]
    longest = max(2.0, min(6.0, max(ratios)))
    axes.barh(places, [min(ratio, longest) for ratio in ratios], color=colours, height=0.62)
    for place, ratio in zip(places, ratios, strict=True):
        label = f"{ratio:.1f}×" if ratio >= 0.05 else "0"
        axes.text(
            min(ratio, longest) + longest * 0.01,
            place,
            label,
            va="center",
            color="#334155",
            zorder=3,
            bbox=_BEHIND,
        )
    axes.axvline(1.0, color="#0f172a", linewidth=1.1, linestyle=(0, (4, 3)), zorder=2)
    axes.set_yticks(places, [s.title for s in judged])
    axes.tick_params(axis="y", length=0, labelcolor="#0f172a")
    axes.set_xlim(0, longest * 1.09)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("change, as a multiple of its threshold")
    return as_svg(figure)


def classes_picture(accuracy: Accuracy) -> str | None:
    """F1 of every class with its interval, and where it was at registration; of many classes those that fell most."""
    scored = [score for score in accuracy.classes if score.f1 is not None]
    if not scored:
        return None
    shown, others = scored, list[ClassScore]()
    if len(scored) > _MOST_CLASSES:
        worst = sorted(scored, key=_fall_of)[: _MOST_CLASSES - 1]
        shown = [score for score in scored if score in worst]
        others = [score for score in scored if score not in worst]
    rows = len(shown) + bool(others)
    figure, axes = new_figure(6.4, (0.42 if rows <= 12 else 0.3) * rows + 0.9)
    places = np.arange(rows)[::-1]
    for place, score in zip(places, shown, strict=False):
        assert score.f1 is not None
        colour = _CLASS_COLOURS[score.status]
        axes.plot([score.f1.low, score.f1.high], [place, place], color=colour, linewidth=2, zorder=1)
        axes.scatter([score.f1.value], [place], color=colour, s=34, zorder=2, clip_on=False)
        if score.reference_f1 is not None:
            axes.scatter(
                [score.reference_f1], [place], marker="|", s=180, color=REFERENCE_COLOUR, linewidth=2
            )
    names = [on_one_line(score.label) for score in shown]
    if others:
        values = [score.f1.value for score in others if score.f1 is not None]
        axes.scatter(values, [places[-1]] * len(values), color="#bfdbfe", s=16, zorder=2, clip_on=False)
        names.append(f"{len(others)} other classes")
    axes.set_yticks(places, names)
    axes.tick_params(axis="y", length=0, labelcolor="#0f172a")
    axes.set_ylim(-0.6, rows - 0.4)
    axes.set_xlim(0, 1.02)
    axes.set_xlabel("F1 (pale: too few labels; grey mark: at registration)", loc="right")
    return as_svg(figure)


def _fall_of(score: ClassScore) -> tuple[bool, float]:
    """Breaches first, then by the change of F1 since registration, the largest fall first."""
    assert score.f1 is not None
    return score.status != "breach", score.f1.value - (
        score.reference_f1 if score.reference_f1 is not None else 0.0
    )


def signal_pictures(comparisons: Sequence[Comparison]) -> dict[str, str]:
    """Signal → picture, for every signal that was measured and has one."""
    drawn = {item.name: item.signal.figure(item) for item in comparisons if item.score is not None}
    return {name: as_svg(figure) for name, figure in drawn.items() if figure is not None}


_MOST_POINTS = 600
"""Of either side: more would hide one another, and swell the page."""
_MOST_NAMES = 12
_POINTS = 8.5
"""Size of the names."""
_INCHES_A_LETTER = 0.068
_OFFSETS = [np.zeros(2)] + [
    reach * np.array([np.sin(turn), np.cos(turn)])
    for reach in (0.2, 0.35, 0.5, 0.7, 0.9)
    for turn in np.linspace(0, 2 * np.pi, 12, endpoint=False)
]
"""Where a name may be written, in inches from its spot, the nearest first."""


def embedding_map(comparisons: Sequence[Comparison]) -> str | None:
    """Both sides' embeddings on their first two principal components; None where they were not measured."""
    item = next((item for item in comparisons if item.name == "embedding" and item.score is not None), None)
    if item is None or len(item.sides.classes) < 2:
        return None
    reference, window = (
        log_probabilities(np.asarray(side, dtype=float)) for side in (item.reference, item.window)
    )
    # Directions of the reference: a map that turned with the window could not be compared with yesterday's.
    plane = PCA(n_components=2, svd_solver="full").fit(reference)
    figure, axes = new_figure(6.4, 4.2)
    for points, colour, size in ((reference, REFERENCE_COLOUR, 12), (window, WINDOW_COLOUR, 15)):
        places = plane.transform(_spread(points))
        axes.scatter(places[:, 0], places[:, 1], s=size, color=colour, alpha=0.45, linewidths=0)
    axes.margins(0.04)
    named = _named(item, reference, window)
    drawn, answer = plane.transform(reference), reference.argmax(axis=1)
    spots = {item.sides.classes[place]: np.median(drawn[answer == place], axis=0) for place in named}
    for name, (x, y), spot in place_labels(spots, axes):
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.0}
        axes.annotate(
            name, spot, (x, y), ha="center", va="center", fontsize=_POINTS, color="#0f172a", bbox=box,
            arrowprops={"arrowstyle": "-", "color": "#94a3b8", "linewidth": 0.6} if (x, y) != tuple(spot) else None,
        )  # fmt: skip
    axes.set_xticks([])
    axes.set_yticks([])
    few = f"; named: the {len(named)} of {len(item.sides.classes)} classes whose share changed most"
    spread = f"{plane.explained_variance_ratio_[:2].sum():.0%} of the reference's spread"
    axes.set_xlabel(spread + (few if len(named) < len(item.sides.classes) else ""))
    return as_svg(figure)


def _named(item: Comparison, reference: Floats, window: Floats) -> list[int]:
    """Columns of the classes that get a name: those that are answered in the reference, at most `_MOST_NAMES` of them,
    by the change of their share of answers."""
    before, now = (
        np.bincount(side.argmax(axis=1), minlength=len(item.sides.classes)) / len(side)
        for side in (reference, window)
    )
    order = np.argsort(-np.abs(now - before), kind="stable")
    return [int(place) for place in order if before[place] > 0][:_MOST_NAMES]


def place_labels(
    spots: Mapping[str, Floats], axes: Axes
) -> list[tuple[str, tuple[float, float], tuple[float, float]]]:
    """Where each name is written, near its spot and beside the others.

    Args:
        spots: name → its place in data coordinates.
        axes: whose limits are set; its figure's size tells how much room a name takes.

    Returns:
        Name, centre of its text, and its spot, in data coordinates.
    """
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    figure = axes.get_figure(root=True)
    assert figure is not None
    # Inches; the axes fill nearly all of the figure.
    scale = np.array(
        [0.95 * figure.get_figwidth() / (right - left), 0.9 * figure.get_figheight() / (top - bottom)]
    )
    taken: list[tuple[Floats, Floats]] = []
    placed = []
    for name, spot in spots.items():
        half = np.array([_INCHES_A_LETTER * len(name) / 2 + 0.03, _POINTS / 72 * 0.62 + 0.02])
        best, least = np.asarray(spot) * scale, np.inf
        for offset in _OFFSETS:
            centre = np.asarray(spot) * scale + offset * np.array([1.6, 1.0])
            low, high = np.array([left, bottom]) * scale + half, np.array([right, top]) * scale - half
            centre = np.where(low < high, np.clip(centre, low, high), centre)
            overlap = sum(
                float(np.prod(np.clip(half + other - np.abs(centre - middle), 0, None)))
                for middle, other in taken
            )
            if overlap < least - 1e-9:
                best, least = centre, overlap
            if overlap == 0:
                break
        taken.append((best, half))
        x, y = (float(value) for value in best / scale)
        moved = np.abs(best - np.asarray(spot) * scale).max() > 1e-9
        spot_at = (float(spot[0]), float(spot[1]))
        placed.append((name, (x, y) if moved else spot_at, spot_at))
    return placed


def _spread(points: Floats) -> Floats:
    """At most `_MOST_POINTS` of them, evenly over their order."""
    spread: Floats = points[np.linspace(0, len(points) - 1, min(len(points), _MOST_POINTS)).astype(int)]
    return spread
