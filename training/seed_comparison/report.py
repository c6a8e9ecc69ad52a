"""The report of a seed comparison: `seeds.md`, `seeds.json`, `seeds.png`, and a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from training.data import Splits
from training.evaluation.intervals import Interval
from training.evaluation.plots import BLUE, GREEN, GREY, ORANGE
from training.reporting.run_report import write_json
from training.seed_comparison.statistics import Plan, Ranking
from training.style import LiteralFigure

if TYPE_CHECKING:
    from training.seed_comparison.statistics import Plan

_COLOURS = {"better": GREEN, "worse": ORANGE}


def draw_rankings(rows: Sequence[Ranking], reference: str, path: Path, *, title: str) -> Path:
    """Left macro-F1, right the difference to the reference, seed by seed; a PNG at `path`."""
    figure = LiteralFigure(figsize=(10.5, 1.9 + 0.5 * len(rows)), layout="constrained", dpi=120)
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


_HEADINGS = ("macro-F1", "to {reference}", "", "training", "ms/text", "texts/s")


def ranking_table(plan: Plan, rows: Sequence[Ranking]) -> Table:
    """Every candidate's mean, its difference to the reference, and its cost."""
    table = Table(
        title=escape(f"{plan.experiment.name}, {plan.seeds} seeds"), title_justify="left", box=SIMPLE_HEAD,
        collapse_padding=True,
    )  # fmt: skip
    table.add_column("candidate", no_wrap=True)
    for heading in _HEADINGS:
        table.add_column(heading.format(reference=plan.reference), justify="right", no_wrap=True)
    for row in rows:
        style = {"better": "green", "worse": "red"}.get(row.verdict)
        table.add_row(row.candidate, *_cells(row), style=style)
    return table


def write_report(
    folder: Path, plan: Plan, rows: Sequence[Ranking], splits: Splits, failed: Mapping[str, str]
) -> None:
    """Write the table as Markdown, every figure as JSON, and the picture into a new folder."""
    folder.mkdir(parents=True)
    (folder / "seeds.md").write_text(as_markdown(plan, rows, splits, failed), encoding="utf-8")
    write_json(
        folder / "seeds.json",
        {
            "experiment": plan.experiment.name,
            "reference": plan.reference,
            "seeds": plan.seeds,
            "resplit": plan.resplit,
            "confidence": plan.confidence,
            "texts": {name: len(part) for name, part in splits.parts().items()},
            "candidates": [row.as_dict() for row in rows],
            "failed": dict(failed),
        },
    )
    (folder / "experiment.yaml").write_text(plan.experiment.as_yaml(), encoding="utf-8")
    draw_rankings(
        rows,
        plan.reference,
        folder / "seeds.png",
        title=f"{plan.experiment.name}: {plan.seeds} seeds, {len(splits.train)} training and "
        f"{len(splits.test)} test texts",
    )


def as_markdown(
    plan: Plan, rows: Sequence[Ranking], splits: Splits, failed: Mapping[str, str] | None = None
) -> str:
    """The table with what one must know to read it."""
    headings = ["candidate", *(heading.format(reference=plan.reference) for heading in _HEADINGS)]
    lines = [
        "| " + " | ".join(headings) + " |",
        "|---|" + "---:|" * (len(headings) - 1),
        *("| " + " | ".join([row.candidate, *_cells(row)]) + " |" for row in rows),
        "",
        f"{plan.seeds} seeds, {len(splits.train)} training and {len(splits.test)} test texts of "
        f"{splits.report.source}, {'a new split' if plan.resplit else 'the same split'} for each seed. ±: the "
        f"interval by Student's t over the seeds, {plan.confidence:.0%}; differences are paired by seed. Training: "
        f"median time as a multiple of {plan.reference}'s, the candidates taking turns.",
        _chance(plan, rows),
    ]
    lines += [f"{name} failed: {why}" for name, why in (failed or {}).items()]
    return "\n".join(line for line in lines if line is not None) + "\n"


def _chance(plan: Plan, rows: Sequence[Ranking]) -> str | None:
    compared = sum(row.difference is not None for row in rows)
    if compared < 2:
        return None
    share = 1 - plan.confidence
    return (
        f"With {compared} candidates compared, {compared * share:.2g} of the intervals would leave out zero by chance "
        "alone if no candidate differed."
    )


def _cells(row: Ranking) -> list[str]:
    return [
        _with_margin(row.macro_f1, "") if row.macro_f1 else f"{next(iter(row.values.values())):.3f}",
        _with_margin(row.difference, "+") if row.difference else "",
        row.verdict,
        f"×{row.cost:.2f}" if row.cost is not None else f"{row.seconds:.1f} s",
        f"{row.milliseconds:.1f}",
        f"{row.texts_per_second:,.0f}" if row.texts_per_second is not None else "",
    ]


def _with_margin(interval: Interval, sign: str) -> str:
    """The mean and how far its interval reaches to either side: Student's is symmetric."""
    return f"{interval.value:{sign}.3f} ±{interval.high - interval.value:.3f}"
