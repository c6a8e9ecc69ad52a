"""Run the search as a phase of a run, or join it from other processes (`python -m training search`), also of Ray."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from io import StringIO
from pathlib import Path

from optuna.trial import TrialState
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress

from stores.cluster import is_local, ray_cluster
from stores.errors import StoreError
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from stores.telemetry import turn_telemetry_off
from training.data import DataError, load_data, split_data
from training.errors import ExperimentInvalid, SearchUnavailable, TrainingError
from training.experiment.schema import Experiment
from training.logs import training_progress
from training.runs.candidate_run import format_failure
from training.runs.run_events import Run
from training.search.report import write_search_report
from training.search.trials import best_candidates, done, search
from training.settings import TrainingSettings

log = logging.getLogger(__name__)


def run_search_phase(run: Run, progress: Progress) -> None:
    """Search, write the report, and add the candidates that were found to the run's experiment.

    A search that fails is noted in the run's outcome, as a candidate is, and does not affect the results of the others.
    """
    experiment, outcome = run.experiment, run.outcome
    try:
        study = search(
            experiment, run.splits, run.registry, run.folder.scratch, progress, parent_run=outcome.run_id
        )
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        run.trials = [
            (trial.user_attrs["macro_precision"], trial.user_attrs["macro_recall"]) for trial in complete
        ]
        for item in write_search_report(study, experiment, outcome.report / "search"):
            progress.console.print(item, markup=False, highlight=False)
        run.experiment = experiment.with_candidates(best_candidates(experiment, study))
    except TrainingError as error:
        outcome.failed["search"] = format_failure(error)
        log.exception("search_failed")
        progress.console.print(f"[red]the search failed:[/] {escape(str(error))}", highlight=False)


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


_TRIES_AGAIN = 3
"""How often a process that died is restarted. Its trial is retried by any process of the search."""


def join_search_on_ray(
    experiment: Experiment, console: Console, *, address: str | None, workers: int | None
) -> None:
    """Let `workers` processes of one processor each take trials of `experiment`'s search until none is left.

    Ray only places them: trials are shared through SEARCH_URL and shown in MLFLOW_TRACKING_URI, as always.

    Args:
        experiment: with a `search`; its data must be readable where the processes run.
        console: prints how many trials are done.
        address: of the cluster, as RAY_ADDRESS; None starts a Ray on this machine for as long as it takes.
        workers: how many processes; None: one for each processor of the cluster.

    Raises:
        ClusterUnavailable: there is no such cluster, or it has too few processors.
        SearchUnavailable: trials or runs would be kept on this machine, and the cluster has others, too.
        TrainingError, DataError, StoreError: what stopped a process.
    """
    shared = {
        "MLFLOW_TRACKING_URI": TrackingSettings().mlflow_tracking_uri or "",
        "SEARCH_URL": TrainingSettings().search_url or "",
        "MODEL_NAME": TrackingSettings().model_name,
    }
    if not is_local(address) and (unset := [name for name, value in shared.items() if not value]):
        raise SearchUnavailable(
            f"a search on a cluster needs {unset[0]}, an address that every machine of it reaches"
        )
    shared |= TrackingSettings().credentials
    if password := TrainingSettings().search_password:
        shared["SEARCH_PASSWORD"] = password.get_secret_value()
    with ray_cluster(address, workers) as cluster:
        task = cluster.ray.remote(_joined).options(num_cpus=1, max_retries=_TRIES_AGAIN)
        everybody = [task.remote(experiment, shared) for _ in range(cluster.workers)]
        try:
            said: list[str] = cluster.ray.get(everybody)
        except cluster.ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, TrainingError | DataError | StoreError):
                raise error.cause from None
            raise
    console.print(said[-1], highlight=False, end="")


def _joined(experiment: Experiment, shared: dict[str, str]) -> str:
    """In a process of Ray's: what `python -m training search` prints."""
    turn_telemetry_off()
    os.environ.update({name: value for name, value in shared.items() if value})
    said = StringIO()
    join_search(experiment, Console(file=said, width=200))
    return said.getvalue().splitlines(keepends=True)[-1]
