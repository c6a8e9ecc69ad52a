"""`index.html`: result, gate, candidates, plots, mistakes, data and links of a run."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data import LoadedData, Splits
from training.data.checks.findings import Findings
from training.evaluation.candidate import CandidateResult
from training.evaluation.error_analysis import Confusion, confusions
from training.evaluation.pareto import dominators
from training.experiment.schema import Experiment
from training.pipeline.outcome import Outcome
from training.reporting.style import write_page

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
