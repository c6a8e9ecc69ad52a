"""A whole training run: data → candidates → evaluation → gate → registry, each step into MLflow."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
from rich.console import Console
from rich.markdown import Markdown
from rich.progress import Progress
from rich.table import Table

from stores.models import ModelRegistry, tags_of
from stores.settings import TrackingSettings
from training.data import Splits, load_data, split_data
from training.distillation.teacher import pinned_teachers
from training.distillation.verdict import write_student_sentences
from training.error_analysis.label_errors import probable_label_errors, write_label_errors
from training.errors import NoCandidateLeft
from training.experiment import Experiment
from training.judging import Judged, timed_in_turns
from training.logs import fields
from training.outcome import Outcome
from training.progress import training_progress
from training.registering import at_the_gate, register
from training.report import (
    baseline_sentences,
    closing_table,
    smoke_sentences,
    write_conclusion,
    write_run_report,
)
from training.resuming import RunFolder, run_folder
from training.tracking import close_broken_off, log_data, log_report
from training.trying import try_candidate

if TYPE_CHECKING:
    from optuna import Study  # only an experiment with a search needs it

log = logging.getLogger(__name__)


def run_experiment(experiment: Experiment, *, console: Console | None = None, fresh: bool = False) -> Outcome:
    """Train and judge every candidate, and register the best; settings come from the environment.

    What a run of the same experiment has left when it was broken off is gone on with, unless `fresh`.

    Raises:
        DataError: the data cannot be used.
        NoCandidateLeft: every candidate that may win has failed; the failures are in MLflow.
        StoreError: the registry does not answer.
    """
    console = console or Console()
    tracking = TrackingSettings()
    tracking = tracking.model_copy(update={"model_name": experiment.registered_name(tracking.model_name)})
    registry = ModelRegistry(tracking)
    experiment = pinned_teachers(experiment, registry)
    for sentence in smoke_sentences(experiment, registry.name):
        console.print(sentence, highlight=False, soft_wrap=True)
    log.info("run_started", extra=fields(experiment=experiment.name, candidates=list(experiment.candidates)))
    loaded = load_data(experiment.data, experiment.seed)
    splits = split_data(loaded, experiment.data, experiment.seed)
    console.print(splits.report)
    log.info(
        "data_divided",
        extra=fields(
            source=splits.report.source,
            fingerprint=splits.fingerprint,
            rows=splits.report.rows.read,
            refused=splits.report.rows.refused,
            texts={name: len(part) for name, part in splits.parts().items()},
            **splits.report.live_facts(),
        ),
    )

    with (
        run_folder(experiment, splits, fresh=fresh) as folder,
        registry.run(experiment.name, experiment.name) as parent,
    ):
        report = folder.report
        outcome = Outcome(parent.info.run_id, report)
        folder.note(parent.info.run_id)
        if folder.broken_off:
            console.print(f"Going on with the run that was broken off: {report}", soft_wrap=True)
            close_broken_off(folder.broken_off, parent.info.run_id, registry)
        mlflow.set_tags({"kind": "experiment", "seed": str(experiment.seed), "data": splits.fingerprint})
        mlflow.set_tags(experiment.smoke_tags())
        if live := splits.report.live_facts():
            mlflow.set_tags(tags_of(live))
            mlflow.log_params(live)
        mlflow.log_text(experiment.as_yaml(), "experiment.yaml")
        console.print(log_data(loaded, splits, experiment, report))
        study: Study | None = None
        with training_progress(console) as progress:
            for name in experiment.candidates:
                try_candidate(name, experiment, splits, registry, folder, progress, outcome)
            if experiment.search:
                experiment, study = _searched(experiment, splits, registry, folder, progress, outcome)
        _time_in_turns(outcome, splits)
        winner = _winner(experiment, outcome)
        write_run_report(report, experiment, outcome.judged, winner)
        console.print(
            closing_table(experiment, outcome.judged, outcome.failed, winner.name if winner else None)
        )
        if outcome.judged and (experiment.phases or experiment.search):
            console.print(_balance(experiment, outcome, winner, study))
        if winner is None:
            log_report(report)
            raise NoCandidateLeft(
                f"no candidate of {experiment.name} that may win is left: "
                + "; ".join(f"{name}: {why}" for name, why in outcome.failed.items())
            )
        outcome.winner = winner.name
        for sentence in baseline_sentences(experiment, outcome.judged, winner, splits):
            console.print(sentence, highlight=False)
        for sentence in write_student_sentences(report, experiment, outcome.judged, splits):
            console.print(sentence, highlight=False)
        if conclusion := write_conclusion(report, experiment, outcome.judged, winner, splits):
            console.print(Markdown(conclusion))
        console.print(_look_for_label_errors(experiment, winner, splits, report), highlight=False)
        outcome.decision = at_the_gate(experiment, winner, splits, registry, report)
        outcome.version = register(experiment, winner, splits, registry, outcome)
        log_report(report)
        log.info(
            "registered",
            extra=fields(
                model=outcome.version.name,
                version=outcome.version.version,
                alias=outcome.decision.alias,
                reasons=outcome.decision.reasons,
                report=str(report),
            ),
        )
    for reason in outcome.decision.reasons:
        console.print(reason, highlight=False)
    console.print(
        f"[bold]{winner.name}[/] is version {outcome.version.version} of {outcome.version.name}: "
        f"[bold]{outcome.decision.alias}[/]. Pictures and figures: {report}",
        highlight=False,
        soft_wrap=True,
    )
    return outcome


def _searched(
    experiment: Experiment,
    splits: Splits,
    registry: ModelRegistry,
    folder: RunFolder,
    progress: Progress,
    outcome: Outcome,
) -> tuple[Experiment, Study | None]:
    """Search, and train what was found as every other candidate; the experiment now has it."""
    from training.search.phase import searched

    known = set(experiment.candidates)
    experiment, study = searched(
        experiment, splits, registry, folder.scratch, outcome.report / "search", progress, outcome.failed,
        parent_run=outcome.run_id,
    )  # fmt: skip
    for name in experiment.candidates:
        if name not in known:
            try_candidate(name, experiment, splits, registry, folder, progress, outcome)
    return experiment, study


def _time_in_turns(outcome: Outcome, splits: Splits) -> None:
    """Give all candidates times that can be compared, in their MLflow runs, too."""
    if len(outcome.judged) < 2:
        return
    outcome.judged = timed_in_turns(outcome.judged, splits.validation.texts)
    for item in outcome.judged:
        mlflow.log_metrics(item.cost_metrics(), run_id=outcome.runs[item.name])


def _balance(experiment: Experiment, outcome: Outcome, winner: Judged | None, study: Study | None) -> Table:
    """Precision against recall of all candidates, as a picture and a table."""
    from training.search.report import write_balance

    path = outcome.report / "precision_recall.png"
    return write_balance(experiment, outcome.judged, winner.name if winner else None, study, path)


def _winner(experiment: Experiment, outcome: Outcome) -> Judged | None:
    """The best by macro-F1 on the validation part of those that may win; of equals, the cheaper to serve."""
    eligible = [item for item in outcome.judged if experiment.may_win(item.name)]
    return max(
        eligible,
        key=lambda item: (item.validation.macro_f1.value, -item.milliseconds),
        default=None,
    )


def _look_for_label_errors(experiment: Experiment, winner: Judged, splits: Splits, report: Path) -> str:
    """Write `label_errors.csv`, note how many there are, and say so in a sentence."""
    errors = probable_label_errors(
        splits,
        winner.validation_predictions.probabilities,
        winner.test_predictions.probabilities,
        experiment.analysis,
        seed=experiment.seed,
    )
    counts = {part: sum(error.part == part for error in errors) for part in ("train", "validation", "test")}
    mlflow.log_metrics({f"probable_label_errors_{part}": float(count) for part, count in counts.items()})
    if not errors:
        return "No label looks wrong." if experiment.analysis.label_errors else ""
    write_label_errors(report / "label_errors.csv", errors)
    said = ", ".join(f"{count} in {part}" for part, count in counts.items())
    return f"{len(errors)} labels look wrong ({said}): label_errors.csv in the report lists them for a person to check."
