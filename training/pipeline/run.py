"""A training run: data → candidates → evaluation → gate → registry."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.progress import Progress

from stores.names import check_labels
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from training.data import LoadedData, Splits, load_data, split_data
from training.distillation.teacher import pinned_teachers
from training.errors import NoCandidateLeft
from training.evaluation.candidate import CandidateResult, with_interleaved_timing
from training.evaluation.label_errors import probable_label_errors
from training.experiment.schema import Experiment
from training.logs import training_progress
from training.pipeline.observers import ConsoleObserver, LogObserver, ReportObserver
from training.pipeline.refit import fit_all_sentences, refit
from training.pipeline.register import register, registration_of, run_gate
from training.reporting.conclusion import compare_winner
from training.reporting.run_report import Outcome
from training.runs.candidate_run import run_candidate
from training.runs.mlflow_logging import MlflowObserver
from training.runs.preflight import check_experiment_data, check_networks
from training.runs.resume import run_folder
from training.runs.run_events import Observers, Run, RunObserver, notify_failure


def run_experiment(
    experiment: Experiment,
    *,
    console: Console | None = None,
    fresh: bool = False,
    also: Sequence[RunObserver] = (),
) -> Outcome:
    """Train all candidates, evaluate them, and register the best; settings come from the environment.

    An interrupted run of the same experiment is resumed, unless `fresh`. Observers in `also` are called after those of
    log, report folder, MLflow and console.

    Raises:
        ExperimentInvalid: no candidate may win.
        DataError: the data cannot be used.
        NoCandidateLeft: every candidate that may win has failed; the failures are in MLflow, or none of them can be
            trained, which is known before anything is.
        StoreError: the registry does not answer, or cannot keep a name.
    """
    console = console or Console()
    # The report folder before MLflow, which keeps a copy of it.
    observers = Observers(LogObserver(), ReportObserver(), MlflowObserver(), ConsoleObserver(console), *also)
    experiment.check_winnable()
    registry = _registry(experiment)
    observers.registry_repaired(registry.repair())
    experiment = experiment.with_candidates(pinned_teachers(experiment.candidates, registry))
    observers.started(experiment, registry)

    # Data.
    loaded, splits = _data(experiment, observers)
    with (
        run_folder(experiment, splits, fresh=fresh) as folder,
        notify_failure(observers, folder),
        registry.run(experiment.name, experiment.name) as parent,
    ):
        outcome = Outcome(parent.info.run_id, folder.report)
        run = Run(experiment, registry, loaded, splits, folder, outcome, observers)
        folder.note(outcome.run_id)
        observers.opened(run)
        run.findings = check_experiment_data(experiment, loaded, splits)
        observers.data_checked(run)
        run.findings.stop_if_grave()

        # Candidates, each evaluated on validation and test part; then those that a search finds.
        with training_progress(console) as progress:
            for name in experiment.candidates:
                run_candidate(name, run, progress)
            if experiment.search:
                _search(run, progress)

        # Evaluation: the best on the validation part wins.
        if len(outcome.evaluated) > 1:
            outcome.evaluated = with_interleaved_timing(outcome.evaluated, splits.validation.texts)
            observers.candidates_timed(run)
        winner = best_candidate(run)
        observers.candidates_compared(run, winner)
        if winner is None:
            raise NoCandidateLeft(_why_none_is_left(run))
        outcome.winner = winner.name
        run.comparison = compare_winner(run.experiment, outcome.evaluated, winner, splits)
        observers.winner_compared(run, winner)
        run.label_errors = probable_label_errors(splits, experiment.analysis, seed=experiment.seed)
        observers.label_errors_found(run)

        # Gate: the winner against the champion.
        registration = registration_of(folder.identity, winner)
        outcome.decision = run_gate(run, winner, registration)
        observers.gate_decided(run, winner)

        # Registry.
        refitted = None
        if experiment.fit_all:
            with training_progress(console) as progress:
                refitted = refit(run, winner, progress)
        outcome.version = register(run, winner, refitted, registration)
        run.refit_sentences = fit_all_sentences(run, refitted)
        observers.registered(run, winner)
    observers.finished(run, winner)
    return outcome


def check_can_run(experiment: Experiment, *, console: Console | None = None) -> None:
    """Read, split and check the data as a run would, and say what it would train; nothing is trained or registered.

    Raises:
        ExperimentInvalid, DataError, NoCandidateLeft, StoreError: whatever `run_experiment` raises before it trains.
    """
    console = console or Console()
    experiment.check_winnable()
    registry = _registry(experiment)
    loaded, splits = _data(experiment, Observers(LogObserver(), ConsoleObserver(console)))
    findings = check_experiment_data(experiment, loaded, splits)
    console.print(findings)
    findings.stop_if_grave()
    console.print(
        f"{experiment.name} would train {', '.join(experiment.candidates)} and register the best as {registry.name}.",
        highlight=False,
        markup=False,
    )


def best_candidate(run: Run) -> CandidateResult | None:
    """The best by macro-F1 on the validation part of those that may win; of equals, the cheaper to serve."""
    eligible = [item for item in run.outcome.evaluated if run.experiment.may_win(item.name)]
    return max(
        eligible,
        key=lambda item: (item.validation.macro_f1.value, -item.milliseconds),
        default=None,
    )


def _registry(experiment: Experiment) -> ModelRegistry:
    """The registry, with the name under which the experiment's winner is registered."""
    tracking = TrackingSettings()
    name = experiment.registered_name(tracking.model_name)
    return ModelRegistry(tracking.model_copy(update={"model_name": name}))


def _data(experiment: Experiment, observers: RunObserver) -> tuple[LoadedData, Splits]:
    """Read and split the data, and check that some candidate can be trained on them."""
    loaded = load_data(experiment.data, experiment.seed)
    splits = split_data(loaded, experiment.data, experiment.seed)
    check_labels(splits.labels)
    observers.data_split(splits)
    checked = check_networks(experiment.candidates, splits)
    observers.candidates_checked(checked)
    checked.stop_if_none_left(experiment)
    return loaded, splits


def _search(run: Run, progress: Progress) -> None:
    """Search, and train what was found as every other candidate."""
    from training.search.phase import run_search_phase

    before = set(run.experiment.candidates)
    run_search_phase(run, progress)
    for name in run.experiment.candidates:
        if name not in before:
            run_candidate(name, run, progress)


def _why_none_is_left(run: Run) -> str:
    reasons = [
        *(f"{name}: {why}" for name, why in run.outcome.failed.items()),
        *(f"{item.name} is a baseline" for item in run.outcome.evaluated),
    ]
    return f"no candidate of {run.experiment.name} that may win is left: {'; '.join(reasons)}"
