"""Run the search as a phase of a run, or join it from another process (`python -m training search`)."""

from __future__ import annotations

import logging
import shutil
import tempfile
from pathlib import Path

import optuna
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from training.data import load_data, split_data
from training.errors import ExperimentInvalid, TrainingError
from training.experiment.schema import Experiment
from training.logs import training_progress
from training.pipeline.candidate_run import format_failure
from training.pipeline.observers import Run
from training.search.report import write_search_report
from training.search.trials import best_candidates, done, search
from training.settings import TrainingSettings

log = logging.getLogger(__name__)


def run_search_phase(run: Run, progress: Progress) -> tuple[Experiment, optuna.Study | None]:
    """Search, write the report, and return the run's experiment with the candidates that were found, and the study.

    A search that fails is noted in the run's outcome, as a candidate is, and does not affect the results of the others.
    """
    experiment, outcome = run.experiment, run.outcome
    study = None
    try:
        study = search(
            experiment, run.splits, run.registry, run.folder.scratch, progress, parent_run=outcome.run_id
        )
        for item in write_search_report(study, experiment, outcome.report / "search"):
            progress.console.print(item, markup=False, highlight=False)
        return experiment.with_found(best_candidates(experiment, study)), study
    except TrainingError as error:
        outcome.failed["search"] = format_failure(error)
        log.exception("search_failed")
        progress.console.print(f"[red]the search failed:[/] {escape(str(error))}", highlight=False)
        return experiment, study


def join_search(experiment: Experiment, console: Console) -> None:
    """Take trials of `experiment`'s search until none is left; the candidates, and what is found, are `run`'s.

    Raises:
        ExperimentInvalid: it has no `search`.
        DataError, StoreError, SearchUnavailable: data, registry or trials cannot be read.
    """
    if experiment.search is None:
        raise ExperimentInvalid(f"{experiment.name} has no `search` section: there is nothing to search")
    splits = split_data(load_data(experiment.data, experiment.seed), experiment.data, experiment.seed)
    tracking = TrackingSettings()
    tracking = tracking.model_copy(update={"model_name": experiment.registered_name(tracking.model_name)})
    scratch = tempfile.mkdtemp(prefix=f"{experiment.name}-search-", dir=TrainingSettings().scratch)
    try:
        with training_progress(console) as progress:
            study = search(experiment, splits, ModelRegistry(tracking), Path(scratch), progress)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    console.print(f"{study.study_name}: {done(study)} trials are done.", highlight=False)
