"""A training run: data → candidates → evaluation → gate → registry, logged to MLflow."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from stores.names import check_labels
from stores.registry import ModelRegistry, tags_of
from stores.settings import TrackingSettings
from training.data import LoadedData, Splits, load_data, split_data
from training.data.checks.run import check_data
from training.distillation.teacher import pinned_teachers
from training.errors import NoCandidateLeft
from training.evaluation.candidate import CandidateResult, with_interleaved_timing
from training.evaluation.label_errors import probable_label_errors, write_label_errors
from training.experiment.rerun import EXPERIMENT_FILE, resolved_yaml
from training.experiment.schema import Experiment
from training.logs import fields, training_progress
from training.pipeline.candidate_run import run_candidate
from training.pipeline.mlflow_logging import close_interrupted_runs, log_data, log_report
from training.pipeline.outcome import Outcome
from training.pipeline.preflight import preflight, readers_of
from training.pipeline.refit import fit_all_sentences, refit
from training.pipeline.register import register, registration_of, run_gate
from training.pipeline.resume import RunFolder, run_folder
from training.reporting.conclusion import write_student_sentences
from training.reporting.model_card import write_model_card
from training.reporting.run_page import PAGE, run_note, write_run_page
from training.reporting.run_report import (
    baseline_sentences,
    closing_table,
    how_to_promote,
    smoke_sentences,
    write_conclusion,
    write_run_report,
)

if TYPE_CHECKING:
    from optuna import Study  # only an experiment with a search needs it

log = logging.getLogger(__name__)


def check_can_run(experiment: Experiment, *, console: Console | None = None) -> None:
    """Read, divide and check the data as a run would, and say what it would train; nothing is trained or registered.

    Raises:
        ExperimentInvalid, DataError, NoCandidateLeft, StoreError: whatever `run_experiment` raises before it trains.
    """
    console = console or Console()
    experiment.check_winnable()
    registry = _registry(experiment)
    loaded, splits = _prepared(experiment, console)
    findings = check_data(
        loaded, splits, experiment.data, seed=experiment.seed, readers=readers_of(experiment.candidates)
    )
    console.print(findings)
    findings.stop_if_grave()
    console.print(
        f"{experiment.name} would train {', '.join(experiment.candidates)} and register the best as {registry.name}.",
        highlight=False,
        markup=False,
    )


def run_experiment(experiment: Experiment, *, console: Console | None = None, fresh: bool = False) -> Outcome:
    """Train and evaluate every candidate, and register the best; settings come from the environment.

    An interrupted run of the same experiment is resumed, unless `fresh`.

    Raises:
        ExperimentInvalid: no candidate may win.
        DataError: the data cannot be used.
        NoCandidateLeft: every candidate that may win has failed; the failures are in MLflow, or none of them can be
            trained, which is known before anything is.
        StoreError: the registry does not answer, or cannot keep a name.
    """
    console = console or Console()
    experiment.check_winnable()
    registry = _registry(experiment)
    for sentence in registry.repair():
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    experiment = pinned_teachers(experiment, registry)
    for sentence in smoke_sentences(experiment, registry.name):
        console.print(sentence, highlight=False, soft_wrap=True)
    log.info("run_started", extra=fields(experiment=experiment.name, candidates=list(experiment.candidates)))
    loaded, splits = _prepared(experiment, console)

    with (
        run_folder(experiment, splits, fresh=fresh) as folder,
        _what_is_kept(folder, console),
        registry.run(experiment.name, experiment.name) as parent,
    ):
        report = folder.report
        outcome = Outcome(parent.info.run_id, report)
        folder.note(parent.info.run_id)
        if folder.broken_off:
            console.print(f"Resuming the interrupted run: {report}", markup=False, soft_wrap=True)
            close_interrupted_runs(folder.broken_off, parent.info.run_id, registry)
        mlflow.set_tags({"kind": "experiment", "seed": str(experiment.seed), "data": splits.fingerprint})
        mlflow.set_tags(experiment.smoke_tags())
        if live := splits.report.live_facts():
            mlflow.set_tags(tags_of(live))
            mlflow.log_params(live)
        mlflow.log_text(resolved_yaml(experiment, registry.name), EXPERIMENT_FILE)
        findings = log_data(loaded, splits, experiment, report)
        console.print(findings)
        study: Study | None = None
        with training_progress(console) as progress:
            for name in experiment.candidates:
                run_candidate(name, experiment, splits, registry, folder, progress, outcome)
            if experiment.search:
                experiment, study = _searched(experiment, splits, registry, folder, progress, outcome)
        _time_in_turns(outcome, splits)
        winner = _winner(experiment, outcome)
        write_run_report(report, experiment, registry.name, outcome.evaluated, winner)
        console.print(
            closing_table(
                experiment, outcome.evaluated, outcome.failed, winner.name if winner else None, splits
            )
        )
        if outcome.evaluated and (experiment.phases or experiment.search):
            console.print(_balance(experiment, outcome, winner, study))
        if winner is None:
            write_run_page(outcome, experiment, loaded, splits, findings, list(outcome.failed.values()))
            log_report(report)
            raise NoCandidateLeft(
                f"no candidate of {experiment.name} that may win is left: "
                + "; ".join(
                    [
                        *(f"{name}: {why}" for name, why in outcome.failed.items()),
                        *(f"{item.name} is a baseline" for item in outcome.evaluated),
                    ]
                )
            )
        outcome.winner = winner.name
        sentences = [
            *baseline_sentences(experiment, outcome.evaluated, winner, splits),
            *write_student_sentences(report, experiment, outcome.evaluated, splits),
        ]
        for sentence in sentences:
            console.print(sentence, highlight=False, markup=False)
        if conclusion := write_conclusion(report, experiment, outcome.evaluated, winner, splits):
            console.print(Markdown(conclusion))
        label_errors = _look_for_label_errors(experiment, splits, report)
        console.print(label_errors, highlight=False)
        registration = registration_of(folder.identity, winner)
        outcome.decision = run_gate(experiment, winner, splits, registry, report, registration=registration)
        write_model_card(report, registry.name, experiment, winner, splits, findings, outcome.decision)
        refitted = None
        if experiment.fit_all:
            with training_progress(console) as progress:
                refitted = refit(winner, experiment, splits, registry, folder, outcome, progress)
        outcome.version = register(
            experiment, winner, splits, registry, outcome, refitted, registration=registration
        )
        sentences += fit_all_sentences(experiment, refitted, outcome, splits)
        write_run_page(
            outcome, experiment, loaded, splits, findings,
            [*outcome.decision.reasons, *sentences, label_errors],
        )  # fmt: skip
        log_report(report)
        mlflow.set_tag("mlflow.note.content", run_note(outcome, winner, parent.info.experiment_id))
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
        console.print(reason, highlight=False, markup=False)
    console.print(
        f"[bold]{winner.name}[/] is version {outcome.version.version} of {escape(outcome.version.name)}: "
        f"[bold]{outcome.decision.alias or 'no alias'}[/]. Report: {escape(str(report / PAGE))}",
        highlight=False,
        soft_wrap=True,
    )
    for sentence in fit_all_sentences(experiment, refitted, outcome, splits):
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    if outcome.decision.withheld:
        console.print(how_to_promote(outcome.version, outcome.decision), highlight=False, markup=False)
    return outcome


@contextmanager
def _what_is_kept(folder: RunFolder, console: Console) -> Iterator[None]:
    """Say, when a run fails, that a later one continues it."""
    try:
        yield
    except Exception:
        if folder.is_resumable:
            console.print("What is trained is kept: the same command continues there.", highlight=False)
        raise


def _registry(experiment: Experiment) -> ModelRegistry:
    """The registry, with the name under which the experiment's winner is registered."""
    tracking = TrackingSettings()
    name = experiment.registered_name(tracking.model_name)
    return ModelRegistry(tracking.model_copy(update={"model_name": name}))


def _prepared(experiment: Experiment, console: Console) -> tuple[LoadedData, Splits]:
    """Read and divide the data, and check that some candidate can be trained on them."""
    loaded = load_data(experiment.data, experiment.seed)
    splits = split_data(loaded, experiment.data, experiment.seed)
    check_labels(splits.labels)
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
    preflight(experiment, splits, console)
    return loaded, splits


def _searched(
    experiment: Experiment,
    splits: Splits,
    registry: ModelRegistry,
    folder: RunFolder,
    progress: Progress,
    outcome: Outcome,
) -> tuple[Experiment, Study | None]:
    """Search, and train what was found as every other candidate; the experiment now has it."""
    from training.search.phase import run_search_phase

    known = set(experiment.candidates)
    experiment, study = run_search_phase(
        experiment, splits, registry, folder.scratch, outcome.report / "search", progress, outcome.failed,
        parent_run=outcome.run_id,
    )  # fmt: skip
    for name in experiment.candidates:
        if name not in known:
            run_candidate(name, experiment, splits, registry, folder, progress, outcome)
    return experiment, study


def _time_in_turns(outcome: Outcome, splits: Splits) -> None:
    """Give all candidates times that can be compared, in their MLflow runs, too."""
    if len(outcome.evaluated) < 2:
        return
    outcome.evaluated = with_interleaved_timing(outcome.evaluated, splits.validation.texts)
    for item in outcome.evaluated:
        mlflow.log_metrics(item.cost_metrics(), run_id=outcome.runs[item.name])


def _balance(
    experiment: Experiment, outcome: Outcome, winner: CandidateResult | None, study: Study | None
) -> Table:
    """Precision against recall of all candidates, as a picture and a table."""
    from training.search.report import write_balance

    path = outcome.report / "precision_recall.png"
    return write_balance(experiment, outcome.evaluated, winner.name if winner else None, study, path)


def _winner(experiment: Experiment, outcome: Outcome) -> CandidateResult | None:
    """The best by macro-F1 on the validation part of those that may win; of equals, the cheaper to serve."""
    eligible = [item for item in outcome.evaluated if experiment.may_win(item.name)]
    return max(
        eligible,
        key=lambda item: (item.validation.macro_f1.value, -item.milliseconds),
        default=None,
    )


def _look_for_label_errors(experiment: Experiment, splits: Splits, report: Path) -> str:
    """Write `label_errors.csv`, note how many there are, and say so in a sentence."""
    errors = probable_label_errors(splits, experiment.analysis, seed=experiment.seed)
    counts = {part: sum(error.part == part for error in errors) for part in ("train", "validation", "test")}
    mlflow.log_metrics({f"probable_label_errors_{part}": float(count) for part, count in counts.items()})
    if not errors:
        return "No label looks wrong." if experiment.analysis.label_errors else ""
    write_label_errors(report / "label_errors.csv", errors)
    sizes = {name: len(part) for name, part in splits.parts().items()}
    said = ", ".join(
        f"{count} in {part}, {count / sizes[part]:.1%}" for part, count in counts.items() if sizes[part]
    )
    return f"{len(errors)} labels look wrong ({said}): label_errors.csv in the report lists them for a person to check."
