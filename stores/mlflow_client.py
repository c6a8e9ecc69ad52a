"""The connection to MLflow: its client, its experiments and runs, and its errors as those of the stores."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from stores.errors import ModelNotRegistered, RegistryUnavailable
from stores.settings import TrackingSettings
from stores.telemetry import turn_telemetry_off

turn_telemetry_off()
# By default MLflow asks a dead server for four minutes before it says so.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")

import mlflow  # noqa: E402  after the switches
from mlflow import MlflowClient  # noqa: E402
from mlflow.entities import Metric  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

EXPERIMENT_KIND = "mlflow.experimentKind"
"""Tag by which MLflow's pages distinguish model training from the development of applications on language models."""
_CREDENTIALS = re.compile(r"://[^/\s]*@")
_ADDRESS_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
NOT_FOUND = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"}
"""Codes of MLflow's errors for what does not exist."""


class MlflowConnection:
    """MLflow's client, experiments and runs at the address of the settings.

    It connects on first use. Every method raises RegistryUnavailable when MLflow does not answer.
    """

    def __init__(self, settings: TrackingSettings) -> None:
        self.settings = settings
        self._client: MlflowClient | None = None

    @property
    def client(self) -> MlflowClient:
        """MLflow's own client, connected and with its database ready."""
        if self._client is None:
            uri = self.settings.tracking_uri
            os.environ.update(self.settings.credentials)  # MLflow's client reads them nowhere else
            with translated(uri):
                if is_file(uri):
                    # Two processes that create a database at once leave it damaged.
                    with FileLock(lock_of(uri)):
                        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
                        client.search_experiments(max_results=1)
                else:
                    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            self._client = client
            self.point_fluent_api()
        return self._client

    def point_fluent_api(self) -> None:
        """Point MLflow's functions, which log_model and the HF Trainer use, at this registry.

        They keep one address for the whole process, and write it into the environment, where it would overrule the
        settings of the next reader: it is reset there.
        """
        assert self.client  # connects, and makes a new database safely
        uri = self.settings.tracking_uri
        before = {name: os.environ.get(name) for name in _ADDRESS_VARIABLES}
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(uri)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value

    def experiment_id(self, name: str) -> str:
        """Id of the experiment called `name`, made if it is missing; on SQLite its artifacts go under `var_dir`."""
        with translated(self.settings.tracking_uri):
            experiment = self.client.get_experiment_by_name(name)
            if experiment is not None:
                return str(experiment.experiment_id)
            location = None
            if is_file(self.settings.tracking_uri):
                location = self.settings.folder("artifacts").as_uri()
            try:
                return str(
                    self.client.create_experiment(
                        name, artifact_location=location, tags={EXPERIMENT_KIND: "custom_model_development"}
                    )
                )
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                experiment = self.client.get_experiment_by_name(name)  # another process was faster
                if experiment is None:
                    raise
                return str(experiment.experiment_id)

    def experiments_with_runs(self) -> list[tuple[str, str]]:
        """Name and id of every experiment that has runs, the one with the newest run first."""
        with translated(self.settings.tracking_uri):
            begun: list[tuple[int, str, str]] = []
            token = None
            while token != "":
                page = self.client.search_experiments(page_token=token)
                for found in page:
                    newest = self.client.search_runs(
                        [found.experiment_id], order_by=["attributes.start_time DESC"], max_results=1
                    )
                    if newest:
                        begun.append((newest[0].info.start_time, found.name, str(found.experiment_id)))
                token = page.token or ""
        return [(name, id_) for _, name, id_ in sorted(begun, reverse=True)]

    @contextmanager
    def run(self, experiment: str, name: str, *, nested: bool = False) -> Iterator[mlflow.ActiveRun]:
        """An active MLflow run in `experiment`; a failure inside marks it FAILED.

        Raises:
            RegistryUnavailable: MLflow fails, now or at anything that is logged inside.
        """
        experiment_id = self.experiment_id(experiment)
        self.point_fluent_api()
        try:
            with mlflow.start_run(experiment_id=experiment_id, run_name=name, nested=nested) as run:
                yield run
        except MlflowException as error:
            uri, reason = map(_without_passwords, (self.settings.tracking_uri, str(error.message)))
            raise RegistryUnavailable(f"MLflow at {uri} failed: {reason}") from error

    def log_finished_run(
        self,
        experiment: str,
        name: str,
        *,
        tags: Mapping[str, str],
        metrics: Mapping[str, float],
        files: Iterable[Path],
    ) -> str:
        """Log a run that is over already; returns its id.

        By the client alone: MLflow's functions for an active run first ask Git, IPython and the platform about the
        process, which costs more than the run.

        Raises:
            RegistryUnavailable: MLflow fails; a run that was begun is marked FAILED where it still answers.
        """
        experiment_id = self.experiment_id(experiment)
        with translated(self.settings.tracking_uri):
            run_id = str(self.client.create_run(experiment_id, run_name=name, tags=dict(tags)).info.run_id)
            status = "FAILED"
            try:
                at = int(time.time() * 1000)
                self.client.log_batch(
                    run_id, [Metric(key, value, at, step=0) for key, value in metrics.items()]
                )
                for file in files:
                    self.client.log_artifact(run_id, str(file))
                status = "FINISHED"
            finally:
                self.client.set_terminated(run_id, status)
            return run_id


@contextmanager
def translated(uri: str, *, missing: str | None = None) -> Iterator[None]:
    """Map MLflow's errors to this room's."""
    try:
        yield
    except MlflowException as error:
        if missing and error.error_code in NOT_FOUND:
            raise ModelNotRegistered(missing) from None
        reason = _without_passwords(str(error.message))
        raise RegistryUnavailable(f"MLflow at {_without_passwords(uri)} failed: {reason}") from None
    except (OSError, SQLAlchemyError) as error:  # MLflow lets some errors of its database through
        reason = _without_passwords(str(getattr(error, "orig", None) or error))
        raise RegistryUnavailable(f"MLflow at {_without_passwords(uri)} does not answer: {reason}") from None


def _without_passwords(message: str) -> str:
    """`message` with the credentials of every address in it left out; MLflow repeats addresses in its errors."""
    return _CREDENTIALS.sub("://", message)


def is_file(uri: str) -> bool:
    """Whether a registry is an SQLite database of this machine."""
    return uri.startswith("sqlite:")


def lock_of(uri: str, what: str = "") -> Path:
    """The lock file beside an SQLite database: the same for every process that opens it."""
    database = Path(make_url(uri).database or "mlflow.db").absolute()
    database.parent.mkdir(parents=True, exist_ok=True)
    return database.with_name(database.name + (f".{what}" if what else "") + ".lock")
