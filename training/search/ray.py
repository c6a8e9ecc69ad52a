"""`python -m training search --engine ray`: many processes on a Ray cluster join one search."""

from __future__ import annotations

import os
from io import StringIO

from rich.console import Console

from stores.cluster import is_local, ray_cluster
from stores.errors import StoreError
from stores.settings import TrackingSettings
from stores.telemetry import turn_telemetry_off
from training.data import DataError
from training.errors import SearchUnavailable, TrainingError
from training.experiment.schema import Experiment
from training.search.phase import join_search
from training.settings import TrainingSettings

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
