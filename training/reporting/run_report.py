"""The outcome of a run and its report: the closing table, `index.html`, and the files of `report/`."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from stores.registry import RegisteredModel
from training.data import LoadedData, Splits
from training.data.findings import Findings
from training.data.labels import positions_of
from training.evaluation import pareto, plots
from training.evaluation.candidate import CandidateResult
from training.evaluation.error_analysis import FOLDER as ERRORS
from training.evaluation.error_analysis import Confusion, confusions
from training.evaluation.metrics import paired_differences
from training.evaluation.pareto import dominators
from training.experiment.rerun import EXPERIMENT_FILE, RERUN_FILE, rerun_yaml, resolved_yaml
from training.experiment.schema import Experiment
from training.gate.decision import Decision
from training.gate.power import power_of
from training.reporting.comparison_plots import draw_comparison
from training.reporting.model_card import CARD
from training.style import mark, write_page


@dataclass
class Outcome:
    """What a run left behind."""

    run_id: str
    report: Path
    """Folder of pictures and figures."""
    evaluated: list[CandidateResult] = field(default_factory=list)
    runs: dict[str, str] = field(default_factory=dict)
    """Candidate → its MLflow run."""
    failed: dict[str, str] = field(default_factory=dict)
    """Candidate → why it failed."""
    winner: str = ""
    version: RegisteredModel | None = None
    judged_version: RegisteredModel | None = None
    """With `fit_all`, the version that the figures are of; None where it is `version` itself."""
    decision: Decision | None = None


PAGE = "index.html"

_MOST_PAIRS = 8

_RUN_PICTURES = (
    ("comparison.png", "Quality and cost of all candidates"),
    ("pareto.png", "Quality against cost"),
    ("precision_recall.png", "Precision against recall"),
)
_WINNER_PICTURES = (
    ("confusion_matrix.png", "Confusion matrix of the winner"),
    ("cascade.png", "Accuracy against the share of texts answered early"),
    ("class_f1.png", "Precision, recall and F1 of each class"),
    ("reliability.png", "Calibration"),
    ("loss.png", "Loss during training"),
    ("metrics_over_time.png", "Metrics during training"),
)
_LINKS = (
    ("gate.html", "The gate's decision, with every check"),
    ("data/data.html", "The data and its checks"),
    ("conclusion.md", "Comparison of the candidates in words"),
    ("model_card.md", "Model card"),
    ("label_errors.csv", "Labels that are probably wrong"),
    ("candidates.json", "All figures as JSON"),
    ("experiment.yaml", "The experiment, every default written out"),
)


@dataclass(frozen=True, slots=True)
class CandidateRow:
    """One row of the table of candidates."""

    name: str
    role: str
    """`winner`, `baseline` or empty."""
    evaluated: CandidateResult
    dominated_by: str | None
    """The candidate that is no worse in quality, latency and size; None on the Pareto front."""

    @property
    def training_seconds(self) -> float | None:
        """Wall time of the training; None where it was not measured."""
        return self.evaluated.trained.figures.get("training_seconds")


@dataclass(frozen=True, slots=True)
class EmbeddedPicture:
    """A PNG of the report as a data address."""

    title: str
    address: str


def write_run_page(
    outcome: Outcome,
    experiment: Experiment,
    loaded: LoadedData,
    splits: Splits,
    findings: Findings,
    sentences: Sequence[str],
) -> Path:
    """Write `index.html` into the report folder and return its path.

    Args:
        outcome: the finished run; its decision and version may be missing where the run stopped before the gate.
        experiment: what was run.
        loaded: what was read of the source.
        splits: the parts.
        findings: results of the data checks.
        sentences: what the run said about its result, in plain sentences.
    """
    winner = next((item for item in outcome.evaluated if item.name == outcome.winner), None)
    return write_page(
        "run.html.j2",
        outcome.report / PAGE,
        experiment=experiment,
        outcome=outcome,
        winner=winner,
        rows=_candidate_rows(outcome.evaluated, experiment, outcome.winner),
        sentences=[sentence for sentence in sentences if sentence],
        pictures=_embedded(outcome.report, _RUN_PICTURES),
        winner_pictures=_embedded(outcome.report / outcome.winner, _WINNER_PICTURES) if winner else [],
        pairs=_most_confused(winner, experiment.gate.confidence),
        parts={name: len(part) for name, part in splits.parts().items() if len(part)},
        labels=splits.labels,
        counts=loaded.counts,
        source=loaded.source,
        findings=findings,
        links=_links(outcome.report, outcome.winner),
    )


def run_note(outcome: Outcome, winner: CandidateResult, experiment_id: str) -> str:
    """The description of the run's page in MLflow, as Markdown: the result and a link to the report."""
    assert outcome.version is not None
    page = f"#/experiments/{experiment_id}/runs/{outcome.run_id}/artifacts/report/{PAGE}"
    return (
        f"**{winner.name}**: macro-F1 {winner.test.macro_f1}, accuracy {winner.test.accuracy} on "
        f"{winner.test.texts:,} test texts. Version {outcome.version.version} of {outcome.version.name}.\n\n"
        f"[Open the report]({page})"
    )


def _candidate_rows(
    evaluated: Sequence[CandidateResult], experiment: Experiment, winner: str
) -> list[CandidateRow]:
    better = dominators([point for item in evaluated for point in item.points])
    return [
        CandidateRow(
            item.name,
            "winner"
            if item.name == winner
            else "baseline"
            if experiment.candidates[item.name].baseline
            else "",
            item,
            better.get(item.name),
        )
        for item in sorted(evaluated, key=lambda item: -item.validation.macro_f1.value)
    ]


def _most_confused(winner: CandidateResult | None, confidence: float) -> list[Confusion]:
    return confusions(winner.test, confidence)[:_MOST_PAIRS] if winner else []


def _embedded(folder: Path, pictures: Sequence[tuple[str, str]]) -> list[EmbeddedPicture]:
    return [
        EmbeddedPicture(title, _address(folder / name))
        for name, title in pictures
        if (folder / name).is_file()
    ]


def _address(picture: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(picture.read_bytes()).decode("ascii")


def _links(report: Path, winner: str) -> list[tuple[str, str]]:
    found = [(address, title) for address, title in _LINKS if (report / address).is_file()]
    for page in sorted(report.glob("*/errors/errors.html")):
        name = page.parents[1].name
        marked = " (winner)" if name == winner else ""
        found.append((page.relative_to(report).as_posix(), f"Mistakes of {name}{marked}"))
    return found


def smoke_sentences(experiment: Experiment, registered: str) -> list[str]:
    """What a smoke run says of itself before it starts; nothing for a real one."""
    if experiment.replaced is None:
        return []
    lines = [escape(f"  {key}: {what}") for key, what in experiment.replaced.items()]
    return [
        "[bold yellow]Smoke run[/]: a small size that shows the way is clear; its figures say nothing of the real one. "
        f"Its winner is registered as {escape(registered)}, apart from the real model.",
        *(["In place of what has to be fetched:", *lines] if lines else []),
    ]


def closing_table(
    experiment: Experiment,
    evaluated: Sequence[CandidateResult],
    failed: Collection[str],
    winner: str | None,
    splits: Splits,
) -> Table:
    """Every candidate of a run with its figures, the failed ones without, and what the test part can show."""
    table = Table(
        title=escape(f"Candidates of {experiment.name}"), title_justify="left", caption_justify="left",
        box=SIMPLE_HEAD, collapse_padding=True,
    )  # fmt: skip
    table.add_column("candidate", no_wrap=True)
    live = any(item.live for item in evaluated)
    for heading in ("val. F1", "test F1", "interval", *(["live"] if live else []), "MB", "ms/text", "train"):
        table.add_column(heading, justify="right", no_wrap=True)
    points = [point for item in evaluated for point in item.points]
    captions = [pareto.front_caption(points)] if len(points) > 1 else []
    if power := _power_of_candidates(experiment, evaluated, winner, splits):
        captions.append(escape(power))
    table.caption = "\n".join(captions) or None
    for item in evaluated:
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
            f"{item.trained.figures['training_seconds']:.0f} s",
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


def _power_of_candidates(
    experiment: Experiment, evaluated: Sequence[CandidateResult], winner: str | None, splits: Splits
) -> str:
    """The gain that the test part can show between the winner and the next best candidate; empty without two."""
    best = next((item for item in evaluated if item.name == winner), None)
    others = [item for item in evaluated if item.name != winner]
    if best is None or not others:
        return ""
    other = max(others, key=lambda item: item.validation.macro_f1.value)
    pair = best.test_predictions.probabilities, other.test_predictions.probabilities
    labels = best.description.labels
    differences = paired_differences(
        *pair, splits.test.labels, labels, seed=experiment.seed, resamples=experiment.gate.resamples
    )
    truth = positions_of(splits.test.labels, labels)
    right, others_right = (probabilities.argmax(axis=1) == truth for probabilities in pair)
    return power_of(differences, right, others_right, experiment.gate).sentence()


def how_to_promote(version: RegisteredModel, decision: Decision) -> str:
    """What a person does with a version that was registered without an alias."""
    force = "" if decision.passed else " --force"
    return (
        f"It was not made champion or challenger: it may be another classifier. "
        f"`python -m training promote {version.version} --model {version.name}{force}` makes it champion; to keep the "
        "two apart, train it under another name (MODEL_NAME, or `model_name` in the experiment)."
    )


def write_run_report(
    folder: Path,
    experiment: Experiment,
    model_name: str,
    evaluated: Sequence[CandidateResult],
    winner: CandidateResult | None,
) -> None:
    """Write what compares candidates (`comparison.png`, `pareto.png`, `candidates.json`, `compared/`), and
    `experiment.yaml` with `rerun.yaml` beside it where a retraining runs another one (training/experiment/rerun.py).
    """
    made, again = resolved_yaml(experiment, model_name), rerun_yaml(experiment, model_name)
    (folder / EXPERIMENT_FILE).write_text(made, encoding="utf-8")
    if again != made:
        (folder / RERUN_FILE).write_text(again, encoding="utf-8")
    write_json(folder / "candidates.json", [item.as_dict() for item in evaluated])
    baselines = {name for name, config in experiment.candidates.items() if config.baseline}
    if evaluated:
        plots.candidate_comparison(
            {item.name: (item.test.macro_f1, item.milliseconds, item.megabytes) for item in evaluated},
            winner.name if winner else None,
            folder / "comparison.png",
            title=f"{experiment.name}: {evaluated[0].test.texts} test texts",
            baselines=baselines,
        )
    draw_comparison(
        evaluated,
        winner.name if winner else None,
        folder / "compared",
        title=experiment.name,
        baselines=baselines,
    )
    points = [point for item in evaluated for point in item.points]
    if len(points) > 1:
        pareto.draw(
            [replace(point, name=mark(point.name, None, baselines)) for point in points],
            folder / "pareto.png",
            title=f"{experiment.name}: quality against serving cost, {evaluated[0].test.texts} test texts",
        )


def write_bundle_report(
    bundle: Path, run_report: Path, experiment: Experiment, winner: CandidateResult, decision: Decision
) -> None:
    """Write the bundle's `report/`: `metrics.json`, `decision.md` and every picture that shows the winner.

    What quotes texts of the data is left out, unless the experiment says otherwise.
    """
    report = bundle / "report"
    private = () if experiment.analysis.texts_in_bundle else (ERRORS,)
    shutil.copytree(
        run_report / winner.name, report, ignore=shutil.ignore_patterns(*private), dirs_exist_ok=True
    )
    shown = ["comparison.png", "pareto.png", EXPERIMENT_FILE, RERUN_FILE, CARD]
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
