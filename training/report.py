"""What a run tells: the closing table, the sentences under it, and the files of `report/`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.table import Table

from training import pareto, plots
from training.conclusion import conclude
from training.data import Splits
from training.error_analysis.report import FOLDER as ERRORS
from training.experiment import Experiment
from training.gate.decision import Decision
from training.judging import Judged, difference
from training.pictures.comparing import draw_comparison


def smoke_sentences(experiment: Experiment, registered: str) -> list[str]:
    """What a smoke run says of itself before it starts; nothing for a real one."""
    if experiment.replaced is None:
        return []
    lines = [f"  {key}: {what}" for key, what in experiment.replaced.items()]
    return [
        "[bold yellow]Smoke run[/]: a small size that shows the way is clear; its figures say nothing of the real one. "
        f"Its winner is registered as {registered}, apart from the real model.",
        *(["In place of what has to be fetched:", *lines] if lines else []),
    ]


def closing_table(
    experiment: Experiment, judged: Sequence[Judged], failed: Collection[str], winner: str | None
) -> Table:
    """Every candidate of a run with its figures; the failed ones without."""
    table = Table(
        title=f"Candidates of {experiment.name}", title_justify="left", caption_justify="left",
        box=SIMPLE_HEAD, collapse_padding=True,
    )  # fmt: skip
    table.add_column("candidate", no_wrap=True)
    live = any(item.live for item in judged)
    for heading in ("val. F1", "test F1", "interval", *(["live"] if live else []), "MB", "ms/text"):
        table.add_column(heading, justify="right", no_wrap=True)
    points = [point for item in judged for point in item.points]
    if len(points) > 1:
        table.caption = pareto.standings(points)
    for item in judged:
        role = " (winner)" if item.name == winner else "" if experiment.may_win(item.name) else " (baseline)"
        f1 = item.test.macro_f1
        table.add_row(
            item.name + role,
            f"{item.validation.macro_f1.value:.3f}",
            f"{f1.value:.3f}",
            f"{f1.low:.3f}–{f1.high:.3f}",
            *([f"{item.live.accuracy.value:.3f}" if item.live else ""] if live else []),
            f"{item.megabytes:.1f}",
            f"{item.milliseconds:.1f}",
            style="bold" if item.name == winner else None,
        )
        if point := item.int8:
            table.add_row(
                point.name,
                "",
                f"{point.f1.value:.3f}",
                f"{point.f1.low:.3f}–{point.f1.high:.3f}",
                *([""] if live else []),
                f"{point.megabytes:.1f}",
                f"{point.milliseconds:.1f}",
                style="dim",
            )
    for name in failed:
        table.add_row(f"{name} (failed)", style="red")
    return table


def baseline_sentences(
    experiment: Experiment, judged: Sequence[Judged], winner: Judged, splits: Splits
) -> list[str]:
    """A sentence for each baseline that the winner is not shown to beat on the test part."""
    sentences = []
    for item in judged:
        if item.name == winner.name or not experiment.candidates[item.name].baseline:
            continue
        gain = difference(winner, item, splits, experiment.gate, seed=experiment.seed)
        if gain.low > 0:
            continue
        relation = "better than" if gain.high < 0 else "as good as"
        sentences.append(
            f"The baseline {item.name} is {relation} {winner.name} here: the winner's macro-F1 differs by "
            f"{gain.value:+.3f} (interval {gain.low:+.3f} to {gain.high:+.3f}), and the baseline takes "
            f"{item.megabytes:.1f} MB and {item.milliseconds:.1f} ms a text against {winner.megabytes:.1f} MB and "
            f"{winner.milliseconds:.1f} ms."
        )
    return sentences


def write_conclusion(
    folder: Path, experiment: Experiment, judged: Sequence[Judged], winner: Judged, splits: Splits
) -> str:
    """Write `conclusion.md`, and return it; neither where there is nothing to compare."""
    text = conclude(experiment, judged, winner, splits)
    if text:
        (folder / "conclusion.md").write_text(text, encoding="utf-8")
    return text


def write_run_report(
    folder: Path, experiment: Experiment, judged: Sequence[Judged], winner: Judged | None
) -> None:
    """Write what compares candidates: `comparison.png`, `pareto.png`, `experiment.yaml`, `candidates.json`, and the
    pictures of `compared/`.
    """
    (folder / "experiment.yaml").write_text(experiment.as_yaml(), encoding="utf-8")
    write_json(folder / "candidates.json", [item.as_dict() for item in judged])
    if judged:
        plots.candidate_comparison(
            {item.name: (item.test.macro_f1, item.milliseconds, item.megabytes) for item in judged},
            winner.name if winner else None,
            folder / "comparison.png",
            title=f"{experiment.name}: {judged[0].test.texts} test texts",
        )
    draw_comparison(judged, winner.name if winner else None, folder / "compared", title=experiment.name)
    points = [point for item in judged for point in item.points]
    if len(points) > 1:
        pareto.draw(
            points,
            folder / "pareto.png",
            title=f"{experiment.name}: what quality costs to serve, {judged[0].test.texts} test texts",
        )


def write_bundle_report(
    bundle: Path, run_report: Path, experiment: Experiment, winner: Judged, decision: Decision
) -> None:
    """Write the bundle's `report/`: `metrics.json`, `decision.md` and every picture that shows the winner.

    What quotes texts of the data is left out, unless the experiment says otherwise.
    """
    report = bundle / "report"
    private = () if experiment.analysis.texts_in_bundle else (ERRORS,)
    shutil.copytree(
        run_report / winner.name, report, ignore=shutil.ignore_patterns(*private), dirs_exist_ok=True
    )
    shown = ["comparison.png", "pareto.png", "experiment.yaml"]
    if experiment.analysis.texts_in_bundle:
        shown.append("label_errors.csv")
    for name in shown:
        if (run_report / name).is_file():
            shutil.copy(run_report / name, report / name)
    write_json(report / "metrics.json", winner.as_dict())
    page = decision.as_markdown(winner.name, experiment.name)
    for folder in (report, run_report):
        (folder / "decision.md").write_text(page, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Write `value` for machines and people: two spaces, no escapes."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
