"""The model registry: bundles as MLflow model versions, their aliases and tags, and a local cache of them.

Aliases: `champion` is served, `challenger` is shadowed, `previous` is the one-step way back.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from stores.alias_changes import (
    CHALLENGER,
    CHAMPION,
    INTENT,
    PREVIOUS,
    PROMOTED_AT,
    AliasChanges,
    accepted_labels,
)
from stores.errors import ChampionChanged, ModelNotRegistered, NotABundle, RegistryUnavailable
from stores.mlflow_client import NOT_FOUND, MlflowConnection, is_file, lock_of, translated
from stores.model_cache import ModelCache, RegisteredModel
from stores.names import tag_value
from stores.promotion import LABELS_DIGEST, PromotionChange, labels_digest, labels_in
from stores.settings import TrackingSettings
from stores.telemetry import turn_telemetry_off

turn_telemetry_off()

import mlflow  # noqa: E402  after the switch
from mlflow.entities.model_registry import ModelVersion  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

__all__ = [
    "CHALLENGER",
    "CHAMPION",
    "PREVIOUS",
    "PROMOTED_AT",
    "ModelRegistry",
    "RegisteredModel",
    "tags_of",
]

BUNDLE_ARTIFACT = "bundle"
REGISTRATION = "registration"
"""Tag of a version: what it was registered for, so that a run that was killed finds the version it had registered."""
logger = logging.getLogger(__name__)
_MODEL_CODE = Path(__file__).with_name("bundle_model.py")


@dataclass(frozen=True, slots=True)
class _Registration:
    """A registered model, apart from its versions."""

    aliases: dict[str, str]
    tags: dict[str, str]


class AnyChampion:
    """Type of `ANY_CHAMPION`."""


ANY_CHAMPION = AnyChampion()
"""Promote whichever version is champion now."""
_TRIES = 5
"""How often a promotion over any champion is tried while others promote, too."""


class ModelRegistry(MlflowConnection):
    """The registry and the local cache.

    Usage::

        registry = ModelRegistry(TrackingSettings())
        with registry.run("quickstart", "minilm"):
            version = registry.register(registry.log_bundle(folder), tags={"test_macro_f1": "0.97"})
        registry.promote(version.version)
        folder = registry.fetch(registry.by_alias("champion"))

    Making one raises NameRefused where no model can have the settings' name or alias. Every method that asks MLflow
    raises RegistryUnavailable when it does not answer, and ModelNotRegistered when
    it answers that there is no such thing.
    """

    def __init__(self, settings: TrackingSettings) -> None:
        super().__init__(settings)
        self.cache = ModelCache(settings)
        self.name = self.cache.name

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
        from classifier.runtime import runtime_of

        self.point_fluent_api()
        description = Description.read(folder)
        outputs = [ColSpec(DataType.string, "label"), ColSpec(DataType.float, "score")]
        outputs += [ColSpec(DataType.float, PROBABILITY_PREFIX + label) for label in description.labels]
        signature = ModelSignature(
            inputs=Schema([ColSpec(DataType.string, "text")]), outputs=Schema([*outputs])
        )
        versions = library_versions()
        packages = runtime_of(folder, description).requirements(folder)
        # `classifier` imports the first three whatever the kind.
        needed = dict.fromkeys(["numpy", "onnxruntime", "tokenizers", *packages])
        requirements = [f"{name}=={versions[name]}" for name in needed if name in versions]
        requirements += [f"mlflow=={mlflow.__version__}", f"pandas=={pd.__version__}", "pydantic"]
        with translated(self.settings.tracking_uri), tempfile.TemporaryDirectory() as staging:
            # MLflow names the artifact after the folder; readers look for BUNDLE_ARTIFACT.
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

    def register(
        self, model_uri: str, *, tags: Mapping[str, str] | None = None, registration: str | None = None
    ) -> RegisteredModel:
        """Register a logged model as the next version of `name`, with its tags.

        `registration` is kept as a tag in the same write: `registered_for` finds the version by it.
        """
        self.point_fluent_api()
        with translated(self.settings.tracking_uri):
            kept = {key: tag_value(value) for key, value in (tags or {}).items()}
            if registration is not None:
                kept[REGISTRATION] = registration
            version = mlflow.register_model(model_uri, self.name, tags=kept)
            return _registered(self.client.get_model_version(self.name, str(version.version)))

    def registered_for(self, registration: str) -> RegisteredModel | None:
        """The version that `register` was given `registration` for; None: there is no such version."""
        with translated(self.settings.tracking_uri):
            found = self.client.search_model_versions(
                f'name = "{self.name}" and tags.{REGISTRATION} = "{registration}"', max_results=10
            )
        # Versions that are found so lack tags over some servers.
        return self.by_version(str(found[0].version)) if found else None

    def tag(self, version: str, tags: Mapping[str, str]) -> None:
        """Add tags to a version."""
        with translated(self.settings.tracking_uri):
            for key, value in tags.items():
                self.client.set_model_version_tag(self.name, version, key, tag_value(value))

    def promote(
        self,
        version: str,
        *,
        accept_labels: bool = False,
        expected: str | AnyChampion | None = ANY_CHAMPION,
    ) -> RegisteredModel:
        """Make `version` the champion; the champion until now becomes `previous`. Returns the new champion.

        It refuses no labels and no gate: `change` says what a promotion would change. A promotion that was interrupted
        is completed or undone first (`stores.alias_changes`), which is logged.

        Args:
            version: the champion to be.
            accept_labels: note in the registry that the champion may have the labels of `version`, without which a
                service that serves others keeps them.
            expected: version that this was decided against, None where there was no champion; by default any.

        Raises:
            ChampionChanged: neither `expected` nor `version` is champion now; nothing was changed.
            PromotionBusy: another process is changing the aliases.
        """
        promoted = self.by_version(version)
        for turn in range(_TRIES):
            found = self._registered_model()
            current = found.aliases.get(CHAMPION)
            if isinstance(expected, AnyChampion) or current == version:
                against: str | None = current
            else:
                against = expected
            accepted = self._labels_to_accept(promoted, found, accept_labels)
            try:
                with translated(self.settings.tracking_uri):
                    self._changed(self._alias_changes().promote(version, expected=against, accepted=accepted))
                break
            except ChampionChanged:
                if not isinstance(expected, AnyChampion) or turn == _TRIES - 1:
                    raise
        return promoted

    def challenge(self, version: str) -> RegisteredModel:
        """Make `version` the challenger."""
        challenger = self.by_version(version)
        with translated(self.settings.tracking_uri):
            self._changed(self._alias_changes().challenge(version))
        return challenger

    def rollback(self) -> RegisteredModel:
        """Swap `champion` and `previous`; a second call swaps them back. Returns the champion now.

        Both have been champion, so their labels are accepted.

        Raises:
            ModelNotRegistered: there is no other version to go back to.
            ChampionChanged: another process promoted meanwhile; nothing was changed.
        """
        self.repair()
        previous = self.by_alias(PREVIOUS)
        champion = self._registered_model().aliases.get(CHAMPION)
        if champion == previous.version:
            raise ModelNotRegistered(
                f"version {champion} of {self.name!r} is both 'champion' and 'previous', so there is nothing to go "
                "back to: `python -m training promote VERSION` makes another version champion"
            )
        accepted = self.digest_of(previous)
        with translated(self.settings.tracking_uri):
            changes = self._alias_changes()
            self._changed(changes.roll_back(previous.version, expected=champion, accepted=accepted))
        return previous

    def repair(self) -> list[str]:
        """Complete or undo a promotion that was interrupted; returns what was done, in sentences."""
        if INTENT not in self._registered_model().tags:
            return []
        with translated(self.settings.tracking_uri):
            return self._changed(self._alias_changes().repair())

    def _alias_changes(self) -> AliasChanges:
        uri = self.settings.tracking_uri
        return AliasChanges(self.client, self.name, lock_of(uri, "aliases") if is_file(uri) else None)

    def _changed(self, repaired: list[str]) -> list[str]:
        for sentence in repaired:
            logger.warning("promotion_repaired", extra={"fields": {"words": sentence}})
        return repaired

    def _labels_to_accept(
        self, promoted: RegisteredModel, found: _Registration, accept_labels: bool
    ) -> str | None:
        """Digest of the labels that a promotion makes acceptable; None where it leaves them as they are."""
        current = found.aliases.get(CHAMPION)
        if accept_labels or current is None:
            return self.digest_of(promoted)
        if accepted_labels(found.aliases, found.tags) is None:
            return self.digest_of(self.by_version(current))
        return None

    # -- reading --------------------------------------------------------------------------------------------------

    def aliases(self) -> dict[str, str]:
        """Alias → version of this model; empty when it is not registered yet."""
        return self._registered_model().aliases

    def accepted_labels(self) -> str | None:
        """Digest of the labels that the champion may have (`stores.promotion`); None where the registry says none."""
        found = self._registered_model()
        return accepted_labels(found.aliases, found.tags)

    def labels_of(self, model: RegisteredModel) -> tuple[str, ...]:
        """Labels of a version: from its tags, or where they do not fit those from its bundle.

        Raises:
            BundleError: the tags do not list them, and the bundle's description cannot be read.
        """
        from classifier.description import Description

        return labels_in(model.tags) or Description.read(self.fetch(model)).labels

    def digest_of(self, model: RegisteredModel) -> str | None:
        """Digest of a version's labels; None where neither its tags nor its bundle say."""
        from classifier.errors import BundleError

        try:
            return model.tags.get(LABELS_DIGEST) or labels_digest(self.labels_of(model))
        except (BundleError, RegistryUnavailable):
            return None

    def change(self, version: str) -> PromotionChange:
        """What promoting `version` would change. Labels that neither tags nor bundle state are left empty."""
        from classifier.errors import BundleError

        promoted = self.by_version(version)
        try:
            champion = self.by_alias(CHAMPION)
        except ModelNotRegistered:
            champion = None
        labels: list[tuple[str, ...]] = []
        for model in (promoted, champion):
            try:
                labels.append(self.labels_of(model) if model else ())
            except (BundleError, RegistryUnavailable):
                labels.append(())
        return PromotionChange(promoted, champion, *labels)

    def _registered_model(self) -> _Registration:
        with translated(self.settings.tracking_uri):
            try:
                model = self.client.get_registered_model(self.name)
            except MlflowException as error:
                if error.error_code in NOT_FOUND:
                    return _Registration({}, {})
                raise
            return _Registration(
                {alias: str(version) for alias, version in model.aliases.items()},
                {str(key): str(value) for key, value in (model.tags or {}).items()},
            )

    def by_version(self, version: str) -> RegisteredModel:
        """The version called `version`."""
        with translated(self.settings.tracking_uri, missing=f"model {self.name!r} has no version {version}"):
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
        with translated(self.settings.tracking_uri, missing=missing):
            return _registered(self.client.get_model_version_by_alias(self.name, alias), alias)

    def by_run(self, run_id: str, path: str) -> RegisteredModel:
        """The bundle that was logged in a run as `path`, registered or not; its version is `run-` and the run's id.

        Raises:
            ModelNotRegistered: there is no such run, or it logged no model of that name.
        """
        missing = f"there is no model at runs:/{run_id}/{path}"
        with translated(self.settings.tracking_uri, missing=missing):
            run = self.client.get_run(run_id)
            outputs = run.outputs.model_outputs if run.outputs else []
            for output in outputs:
                model = self.client.get_logged_model(output.model_id)
                if model.name == path:
                    created = (model.creation_timestamp or 0) / 1000
                    return RegisteredModel(
                        self.name, f"run-{run_id}", model.model_id, run_id, created_at=created
                    )
        raise ModelNotRegistered(missing)

    def latest(self) -> RegisteredModel:
        """The version that was registered last, whether or not it passed the gate."""
        found = self.versions()
        if not found:
            raise ModelNotRegistered(
                f"model {self.name!r} has no version: train one with `python -m training run`"
            )
        return found[0]

    def versions(self) -> list[RegisteredModel]:
        """Every version, newest first; empty when the model is not registered yet."""
        with translated(self.settings.tracking_uri):
            # In double quotes, which no name has: in single ones `bob's tickets` would end at the apostrophe.
            found = self.client.search_model_versions(f'name = "{self.name}"', max_results=1000)
        return sorted((_registered(version) for version in found), key=lambda v: int(v.version), reverse=True)

    # -- the local cache ------------------------------------------------------------------------------------------

    def fetch(self, model: RegisteredModel) -> Path:
        """Folder of a version's bundle, downloaded once and kept, so that a restart works while MLflow is away.

        Raises:
            NotABundle: the version is another kind of MLflow model.
        """
        folder = self.cache.folder(model)
        if folder.is_dir():
            return folder
        self.point_fluent_api()
        root = self.cache.root
        with FileLock(root / "download.lock"):
            if folder.is_dir():  # another process was faster
                return folder
            parts = Path(tempfile.mkdtemp(prefix="download-", dir=root))
            try:
                with translated(self.settings.tracking_uri):
                    address = self._artifacts_of(model)
                    self._check_is_bundle(model, address)
                    downloaded = mlflow.artifacts.download_artifacts(
                        artifact_uri=f"{address}/artifacts/{BUNDLE_ARTIFACT}",
                        dst_path=str(parts),
                        tracking_uri=self.settings.tracking_uri,
                    )
                Path(downloaded).replace(folder)  # whole or not at all
            finally:
                shutil.rmtree(parts, ignore_errors=True)
        return folder

    def _artifacts_of(self, model: RegisteredModel) -> str:
        """Where MLflow finds the artifacts: of a version, or of a logged model that is not registered."""
        if model.version.isdigit():
            return f"models:/{model.name}/{model.version}"
        return str(self.client.get_logged_model(model.model_id).artifact_location)

    def _check_is_bundle(self, model: RegisteredModel, address: str) -> None:
        """Raise NotABundle where the version's artifacts are not those that `log_bundle` logs."""
        uri = self.settings.tracking_uri
        found = mlflow.artifacts.list_artifacts(artifact_uri=f"{address}/artifacts", tracking_uri=uri)
        if any(Path(item.path).name == BUNDLE_ARTIFACT and item.is_dir for item in found):
            return
        listed = mlflow.artifacts.list_artifacts(artifact_uri=address, tracking_uri=uri)
        names = sorted(Path(item.path).name for item in listed)
        if "MLmodel" in names:
            flavors = mlflow.models.get_model_info(address).flavors
            kind = ", ".join(name for name in flavors if name != "python_function") or "python_function"
            what = f"it is an MLflow model of the flavor {kind}"
        elif names:
            what = f"its artifacts are {', '.join(names[:5])}"
        else:
            raise RegistryUnavailable(
                f"{model.name} version {model.version} has no artifacts: they were deleted, or their store is away"
            )
        raise NotABundle(
            f"{model.name} version {model.version} is not a bundle of this project: {what}. `python -m training "
            f"promote VERSION --model {model.name}` makes a trained version champion"
        )


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


def tags_of(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as MLflow tags: floats with four digits, everything else as text."""
    return {key: f"{value:.4f}" if isinstance(value, float) else str(value) for key, value in values.items()}
