"""The model registry: bundles as MLflow model versions, their aliases and tags, and a local cache of them.

Aliases: `champion` is served, `challenger` is shadowed, `previous` is the one-step way back.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

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
from mlflow.entities.model_registry import ModelVersion  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
BUNDLE_ARTIFACT = "bundle"
_MODEL_CODE = Path(__file__).with_name("bundle_model.py")
_CREDENTIALS = re.compile(r"://[^/\s]*@")
_ADDRESS_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
_NOT_FOUND = {"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND"}


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """One version of a registered model."""

    name: str
    version: str
    model_id: str
    """MLflow's id of the logged model: unique, where a version number is not once a registry is made anew."""
    run_id: str
    alias: str | None = None
    """The alias it was asked for by, if any."""
    tags: dict[str, str] = field(default_factory=dict)
    created_at: float = 0.0
    """Seconds since the epoch."""


class ModelRegistry:
    """The registry and the local cache.

    Usage::

        registry = ModelRegistry(TrackingSettings())
        with registry.run("quickstart", "minilm"):
            version = registry.register(registry.log_bundle(folder), tags={"test_macro_f1": "0.97"})
        registry.promote(version.version)
        folder = registry.fetch(registry.by_alias("champion"))

    Every method that asks MLflow raises RegistryUnavailable when it does not answer, and ModelNotRegistered when
    it answers that there is no such thing.
    """

    def __init__(self, settings: TrackingSettings) -> None:
        self.settings = settings
        self.name = settings.model_name
        self._client: MlflowClient | None = None

    # -- the connection -------------------------------------------------------------------------------------------

    @property
    def client(self) -> MlflowClient:
        """MLflow's own client, connected and with its database ready."""
        if self._client is None:
            uri = self.settings.tracking_uri
            with _translated(uri):
                if uri.startswith("sqlite:"):
                    # A new database is broken for good when two processes create it at once.
                    with FileLock(_lock_of(uri)):
                        client = MlflowClient(tracking_uri=uri, registry_uri=uri)
                        client.search_experiments(max_results=1)
                else:
                    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
            self._client = client
            self._point_fluent_api()
        return self._client

    def _point_fluent_api(self) -> None:
        """Point MLflow's functions, which log_model and the HF Trainer use, at this registry.

        They keep one address for the whole process, and write it into the environment, where it would overrule the
        settings of whoever reads them next: there it is taken back.
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
        with _translated(self.settings.tracking_uri):
            experiment = self.client.get_experiment_by_name(name)
            if experiment is not None:
                return str(experiment.experiment_id)
            location = None
            if self.settings.tracking_uri.startswith("sqlite:"):
                location = self.settings.folder("artifacts").as_uri()
            try:
                return str(self.client.create_experiment(name, artifact_location=location))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                experiment = self.client.get_experiment_by_name(name)  # another process was faster
                if experiment is None:
                    raise
                return str(experiment.experiment_id)

    @contextmanager
    def run(self, experiment: str, name: str, *, nested: bool = False) -> Iterator[mlflow.ActiveRun]:
        """An active MLflow run in `experiment`; a failure inside marks it FAILED."""
        experiment_id = self.experiment_id(experiment)
        self._point_fluent_api()
        with mlflow.start_run(experiment_id=experiment_id, run_name=name, nested=nested) as run:
            yield run

    # -- writing --------------------------------------------------------------------------------------------------

    def log_bundle(self, folder: Path) -> str:
        """Log a sealed bundle as an MLflow model of the active run; returns its model URI (`models:/m-…`)."""
        import pandas as pd
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, DataType, Schema

        import classifier
        from classifier.description import Description
        from classifier.golden import read_golden
        from classifier.manifest import library_versions
        from classifier.reference import PROBABILITY_PREFIX

        self._point_fluent_api()
        description = Description.read(folder)
        outputs = [ColSpec(DataType.string, "label"), ColSpec(DataType.float, "score")]
        outputs += [ColSpec(DataType.float, PROBABILITY_PREFIX + label) for label in description.labels]
        signature = ModelSignature(
            inputs=Schema([ColSpec(DataType.string, "text")]), outputs=Schema([*outputs])
        )
        versions = library_versions()
        needed = ["numpy", "onnxruntime", "tokenizers", "scikit-learn", "skops"]
        if description.kind == "catboost":
            needed.append("catboost")
        requirements = [f"{name}=={versions[name]}" for name in needed if name in versions]
        requirements += [f"mlflow=={mlflow.__version__}", f"pandas=={pd.__version__}", "pydantic"]
        with _translated(self.settings.tracking_uri), tempfile.TemporaryDirectory() as staging:
            # MLflow names the artifact after the folder; whoever fetches it looks for BUNDLE_ARTIFACT.
            bundle = shutil.copytree(folder, Path(staging) / BUNDLE_ARTIFACT)
            logged = mlflow.pyfunc.log_model(
                name="model",
                python_model=str(_MODEL_CODE),
                artifacts={BUNDLE_ARTIFACT: str(bundle)},
                code_paths=[str(Path(classifier.__file__).parent)],
                signature=signature,
                pip_requirements=requirements,  # inferring them would take 20 s and list junk
                input_example=pd.DataFrame({"text": [read_golden(folder)[0][0]]}),
            )
        return str(logged.model_uri)

    def register(self, model_uri: str, *, tags: Mapping[str, str] | None = None) -> RegisteredModel:
        """Register a logged model as the next version of `name`, with its tags."""
        self._point_fluent_api()
        with _translated(self.settings.tracking_uri):
            version = mlflow.register_model(model_uri, self.name, tags=dict(tags or {}))
            return _registered(self.client.get_model_version(self.name, str(version.version)))

    def tag(self, version: str, tags: Mapping[str, str]) -> None:
        """Add tags to a version."""
        with _translated(self.settings.tracking_uri):
            for key, value in tags.items():
                self.client.set_model_version_tag(self.name, version, key, value)

    def promote(self, version: str) -> RegisteredModel:
        """Make `version` the champion; the champion until now becomes `previous`. Returns the new champion."""
        promoted = self.by_version(version)
        aliases = self.aliases()
        current = aliases.get(CHAMPION)
        with _translated(self.settings.tracking_uri):
            if current is not None and current != version:
                self.client.set_registered_model_alias(self.name, PREVIOUS, current)
            self.client.set_registered_model_alias(self.name, CHAMPION, version)
            if aliases.get(CHALLENGER) == version:
                self.client.delete_registered_model_alias(self.name, CHALLENGER)
        return promoted

    def challenge(self, version: str) -> RegisteredModel:
        """Make `version` the challenger."""
        challenger = self.by_version(version)
        with _translated(self.settings.tracking_uri):
            self.client.set_registered_model_alias(self.name, CHALLENGER, version)
        return challenger

    def rollback(self) -> RegisteredModel:
        """Swap `champion` and `previous`; a second call swaps them back. Returns the champion now."""
        return self.promote(self.by_alias(PREVIOUS).version)

    # -- reading --------------------------------------------------------------------------------------------------

    def aliases(self) -> dict[str, str]:
        """Alias → version of this model; empty when it is not registered yet."""
        with _translated(self.settings.tracking_uri):
            try:
                model = self.client.get_registered_model(self.name)
            except MlflowException as error:
                if error.error_code in _NOT_FOUND:
                    return {}
                raise
            return {alias: str(version) for alias, version in model.aliases.items()}

    def by_version(self, version: str) -> RegisteredModel:
        """The version called `version`."""
        with _translated(self.settings.tracking_uri, missing=f"model {self.name!r} has no version {version}"):
            return _registered(self.client.get_model_version(self.name, version))

    def by_alias(self, alias: str | None = None) -> RegisteredModel:
        """The version that `alias` (default: the setting's) points to."""
        alias = alias or self.settings.model_alias
        remedy = (
            "no version was champion before"
            if alias == PREVIOUS
            else "train one with `python -m training run`"
        )
        missing = f"model {self.name!r} has no {alias!r}: {remedy}"
        with _translated(self.settings.tracking_uri, missing=missing):
            found = _registered(self.client.get_model_version_by_alias(self.name, alias), alias)
        self._remember(found)
        return found

    def latest(self) -> RegisteredModel:
        """The version that was registered last, whatever the gate said of it."""
        found = self.versions()
        if not found:
            raise ModelNotRegistered(
                f"model {self.name!r} has no version: train one with `python -m training run`"
            )
        return found[0]

    def versions(self) -> list[RegisteredModel]:
        """Every version, newest first; empty when the model is not registered yet."""
        with _translated(self.settings.tracking_uri):
            found = self.client.search_model_versions(f"name = '{self.name}'", max_results=1000)
        return sorted((_registered(version) for version in found), key=lambda v: int(v.version), reverse=True)

    # -- the local cache ------------------------------------------------------------------------------------------

    def fetch(self, model: RegisteredModel) -> Path:
        """Folder of a version's bundle, downloaded once and kept, so that a restart works while MLflow is away."""
        folder = self._folder(model)
        if folder.is_dir():
            return folder
        self._point_fluent_api()
        with FileLock(self._cache / "download.lock"):
            if folder.is_dir():  # another process was faster
                return folder
            parts = Path(tempfile.mkdtemp(prefix="download-", dir=self._cache))
            try:
                with _translated(self.settings.tracking_uri):
                    source = f"models:/{model.name}/{model.version}/artifacts/{BUNDLE_ARTIFACT}"
                    downloaded = mlflow.artifacts.download_artifacts(
                        artifact_uri=source, dst_path=str(parts), tracking_uri=self.settings.tracking_uri
                    )
                Path(downloaded).replace(folder)  # whole or not at all
            finally:
                shutil.rmtree(parts, ignore_errors=True)
        return folder

    def forget(self, model: RegisteredModel) -> None:
        """Drop a version's bundle from the cache, where it may have been damaged; `fetch` then downloads it again."""
        shutil.rmtree(self._folder(model), ignore_errors=True)

    def last_known(self, alias: str | None = None) -> RegisteredModel | None:
        """What `alias` pointed to when the registry last answered, if that bundle is in the cache; asks nobody."""
        try:
            remembered = json.loads(
                self._memory(alias or self.settings.model_alias).read_text(encoding="utf-8")
            )
            model = RegisteredModel(**remembered)
        except (OSError, ValueError, TypeError):
            return None
        return model if self._folder(model).is_dir() else None

    @property
    def _cache(self) -> Path:
        # Two registries may both have a version 7 of the same name.
        registry = hashlib.sha256(self.settings.tracking_uri.encode()).hexdigest()[:8]
        return self.settings.folder("models", f"{self.name}-{registry}")

    def _folder(self, model: RegisteredModel) -> Path:
        return self._cache / f"v{model.version}-{model.model_id}"

    def _memory(self, alias: str) -> Path:
        return self._cache / f"alias-{alias}.json"

    def _remember(self, model: RegisteredModel) -> None:
        path = self._memory(model.alias or self.settings.model_alias)
        text = json.dumps(asdict(model))
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return
        with tempfile.NamedTemporaryFile("w", dir=self._cache, delete=False, encoding="utf-8") as file:
            file.write(text)
        Path(file.name).replace(path)


def _registered(version: ModelVersion, alias: str | None = None) -> RegisteredModel:
    return RegisteredModel(
        name=version.name,
        version=str(version.version),  # an int on SQLite, a string over HTTP
        # SQLite leaves model_id empty and says it in the source only: models:/m-….
        model_id=str(version.model_id or str(version.source).rpartition("/")[2]),
        run_id=str(version.run_id or ""),
        alias=alias,
        tags={str(key): str(value) for key, value in (version.tags or {}).items()},
        created_at=(version.creation_timestamp or 0) / 1000,
    )


@contextmanager
def _translated(uri: str, *, missing: str | None = None) -> Iterator[None]:
    """Map MLflow's errors to this room's."""
    try:
        yield
    except MlflowException as error:
        if missing and error.error_code in _NOT_FOUND:
            raise ModelNotRegistered(missing) from None
        reason = _without_passwords(str(error.message))
        raise RegistryUnavailable(f"MLflow at {_without_passwords(uri)} failed: {reason}") from None
    except (OSError, SQLAlchemyError) as error:  # MLflow lets some errors of its database through
        reason = _without_passwords(str(getattr(error, "orig", None) or error))
        raise RegistryUnavailable(f"MLflow at {_without_passwords(uri)} does not answer: {reason}") from None


def _without_passwords(message: str) -> str:
    """`message` with the credentials of every address in it left out; MLflow repeats addresses in its errors."""
    return _CREDENTIALS.sub("://", message)


def _lock_of(uri: str) -> Path:
    """The lock file beside an SQLite database: the same for every process that opens it."""
    database = Path(make_url(uri).database or "mlflow.db").absolute()
    database.parent.mkdir(parents=True, exist_ok=True)
    return database.with_name(database.name + ".lock")


def tags_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as MLflow tags: floats with four digits, everything else as text."""
    return {key: f"{value:.4f}" if isinstance(value, float) else str(value) for key, value in values.items()}
