"""The picture of a comparison over seeds: a dot for each seed, the mean and its interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from training.plots import BLUE, GREEN, GREY, ORANGE
from training.seeds.statistics import Standing

_COLOURS = {"better": GREEN, "worse": ORANGE}


def draw_standings(rows: Sequence[Standing], reference: str, path: Path, *, title: str) -> Path:
    """Left macro-F1, right the difference to the reference, seed by seed; a PNG at `path`."""
    figure = Figure(figsize=(10.5, 1.9 + 0.5 * len(rows)), layout="constrained", dpi=120)
    FigureCanvasAgg(figure)
    quality, gain = figure.subplots(1, 2, sharey=True)
    base = next((row.values for row in rows if row.candidate == reference), {})
    for place, row in enumerate(rows):
        colour = _COLOURS.get(row.verdict, BLUE)
        pairs = {seed: value - base[seed] for seed, value in row.values.items() if seed in base}
        shown = [(quality, row.values, row.macro_f1)]
        if row.candidate != reference:
            shown.append((gain, pairs, row.difference))
        for axes, values, interval in shown:
            axes.plot(
                list(values.values()), [place + 0.18] * len(values), "o", color=GREY, markersize=4, alpha=0.8
            )
            if interval is not None:
                axes.plot([interval.low, interval.high], [place - 0.08] * 2, color=colour, linewidth=3)
                axes.plot(interval.value, place - 0.08, "o", color=colour, markersize=8)
    quality.set_yticks(range(len(rows)), [row.candidate for row in rows])
    quality.set_ylim(len(rows) - 0.5, -0.6)
    quality.set_xlabel("macro-F1 on the test part: mean with interval; grey: each seed")
    gain.set_xlabel(f"difference to {reference}, seed by seed")
    gain.axvline(0, color=GREY, linestyle=":", linewidth=1.2)
    for axes in (quality, gain):
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(left=False)
    figure.suptitle(title)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return path
