"""Sources of the served model: an alias or a version of the registry, a bundle of a run, or a folder."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from classifier.signing import SigningKeys
from stores.errors import BadModelReference
from stores.model_cache import ModelCache, RegisteredModel
from stores.model_ref import ModelRef
from stores.settings import TrackingSettings
from stores.signatures import check_version

if TYPE_CHECKING:
    from stores.registry import ModelRegistry

CHAMPION = "champion"
_MLFLOW_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""By default MLflow retries for minutes; here the next poll is the next attempt."""


@dataclass(frozen=True, slots=True)
class ModelTarget:
    """The version that should be served."""

    name: str
    version: str
    alias: str | None
    model_id: str
    """Unique, also among models of the same name and version in other registries."""
    tags: dict[str, str] = field(default_factory=dict)
    registered: RegisteredModel | None = None


class ModelSource(Protocol):
    """Names the version to serve and fetches it; raises StoreError on failure."""

    address: str
    """The source as `/model` shows it: `models:/news@champion`."""

    follows_alias: bool
    """Whether the version can change; False where MODEL_URI pins a version or a folder."""

    def target(self) -> ModelTarget:
        """The version that should be served now."""
        ...

    def last_loaded(self) -> ModelTarget | None:
        """The version that was loaded last for this reference, if it is cached; does not ask the registry."""
        ...

    def accepted_labels(self) -> str | None:
        """Digest of the labels that the registry accepts; None: it names none."""
        ...

    def last_served(self) -> tuple[ModelTarget, tuple[str, ...]] | None:
        """The version that was served last on this machine, and its labels; does not ask the registry."""
        ...

    def note_served(self, target: ModelTarget, labels: tuple[str, ...]) -> None:
        """Record the served version and its labels."""
        ...

    def note_loaded(self, target: ModelTarget) -> None:
        """Record that it could be loaded, for `last_loaded`."""
        ...

    def fetch(self, target: ModelTarget) -> Path:
        """Folder of its bundle."""
        ...

    def check_signature(
        self, target: ModelTarget, folder: Path, keys: SigningKeys | None
    ) -> SigningKeys | None:
        """Check that the bundle in `folder` was signed as this version; returns the keys that its manifest still needs.

        Raises:
            BundleUntrusted: it was not.
        """
        ...

    def forget(self, target: ModelTarget) -> bool:
        """Remove a damaged local copy; returns whether fetching again may give another one."""
        ...


class FolderSource:
    """The folder of one bundle; needs no registry."""

    follows_alias = False

    def __init__(self, folder: Path) -> None:
        self.address = str(folder)
        self._folder = folder.resolve()

    def target(self) -> ModelTarget:
        """The folder, always."""
        return ModelTarget(self._folder.name, "folder", None, str(self._folder))

    def last_loaded(self) -> ModelTarget | None:
        """None: a folder needs no cache."""
        return None

    def accepted_labels(self) -> str | None:
        """None: a named folder may have any labels."""
        return None

    def last_served(self) -> tuple[ModelTarget, tuple[str, ...]] | None:
        """None: see `accepted_labels`."""
        return None

    def note_served(self, target: ModelTarget, labels: tuple[str, ...]) -> None:
        """Do nothing: see `accepted_labels`."""

    def note_loaded(self, target: ModelTarget) -> None:
        """Do nothing: see `last_loaded`."""

    def check_signature(
        self, _target: ModelTarget, _folder: Path, keys: SigningKeys | None
    ) -> SigningKeys | None:
        """The keys: a folder has no version to be signed as, so its manifest has to be signed."""
        return keys

    def fetch(self, _target: ModelTarget) -> Path:
        """The folder."""
        return self._folder

    def forget(self, _target: ModelTarget) -> bool:
        """False: the folder is the user's, and there is no other."""
        return False


class RegistrySource:
    """A version of MLflow's registry, by its number, by an alias that may move, or a bundle of a run.

    MLflow is imported at the first query, so that meanwhile the process answers `/livez` and loads the cached version.
    """

    def __init__(self, settings: TrackingSettings, reference: ModelRef | None = None) -> None:
        reference = reference or ModelRef("", alias=settings.model_alias)
        update: dict[str, str] = {"model_name": reference.name} if reference.name else {}
        if reference.alias:
            update["model_alias"] = reference.alias
        self._settings = settings = settings.model_copy(update=update)
        self._reference = reference
        self.follows_alias = reference.alias is not None
        if reference.run_id is not None:
            self.address = f"runs:/{reference.run_id}/{reference.path}"
        else:
            pin = f"/{reference.version}" if reference.version else f"@{settings.model_alias}"
            self.address = f"models:/{settings.model_name}{pin}"
        self._cache = ModelCache(settings)
        self._opened: ModelRegistry | None = None

    def target(self) -> ModelTarget:
        """The pinned version, or the one that the alias points to now."""
        registry = self._registry()
        from stores.bundles import find_version

        return _target(find_version(self._reference, registry))

    def last_loaded(self) -> ModelTarget | None:
        """The version that was loaded last by this alias or number, if its bundle is in the local cache."""
        known = self._cache.last_loaded(version=self._pinned)
        return _target(known) if known else None

    def accepted_labels(self) -> str | None:
        """Digest of the labels of the last promotion (`stores.promotion`); None for other aliases."""
        if self._settings.model_alias != CHAMPION:
            return None
        return self._registry().accepted_labels()

    def last_served(self) -> tuple[ModelTarget, tuple[str, ...]] | None:
        """The version that was served last under this alias, from the local cache."""
        found = self._cache.last_served()
        return (_target(found[0]), found[1]) if found else None

    def note_served(self, target: ModelTarget, labels: tuple[str, ...]) -> None:
        """Record it in the local cache; a cache that cannot be written is skipped."""
        if target.registered is not None and self.follows_alias:
            with suppress(OSError):
                self._cache.note_served(target.registered, labels)

    def note_loaded(self, target: ModelTarget) -> None:
        """Record it in the local cache, as `note_served` does."""
        if target.registered is not None:
            with suppress(OSError):
                self._cache.remember(target.registered)

    def fetch(self, target: ModelTarget) -> Path:
        """Folder of the version's bundle in the local cache, downloaded if it is not there."""
        assert target.registered is not None, "this is a bug: a version of the registry without its record"
        folder = self._cache.folder(target.registered)
        return folder if folder.is_dir() else self._registry().fetch(target.registered)

    def check_signature(
        self, target: ModelTarget, folder: Path, keys: SigningKeys | None
    ) -> SigningKeys | None:
        """None: the version's signature covers the manifest. A run's bundle has no version: its manifest is checked."""
        assert target.registered is not None, "this is a bug: a version of the registry without its record"
        if self._reference.run_id is not None:
            return keys
        check_version(target.registered, folder, keys)
        return None

    def forget(self, target: ModelTarget) -> bool:
        """Remove the cached copy; the registry has the original."""
        assert target.registered is not None, "this is a bug: a version of the registry without its record"
        self._cache.forget(target.registered)
        return True

    @property
    def _pinned(self) -> str | None:
        """The pinned version; None: an alias is followed."""
        run = self._reference.run_id
        return f"run-{run}" if run is not None else self._reference.version

    def _registry(self) -> ModelRegistry:
        for name, value in _MLFLOW_PATIENCE.items():  # before the import, which sets its own defaults
            os.environ.setdefault(name, value)
        from stores.registry import ModelRegistry

        if self._opened is None:
            self._opened = ModelRegistry(self._settings)
        return self._opened


def source_of(settings: TrackingSettings) -> ModelSource:
    """The source that the settings name: MODEL_URI, or else MODEL_ALIAS of MODEL_NAME.

    Raises:
        BadModelReference: MODEL_URI is no reference to a model, or names the latest version, which the gate
            may not have chosen.
    """
    if settings.model_uri is None:
        return RegistrySource(settings)
    reference = ModelRef.parse(settings.model_uri)
    if reference.latest:
        raise BadModelReference(
            f"MODEL_URI is {settings.model_uri!r}, and the latest version is not one that the gate chose: name "
            "a version's number or an alias"
        )
    if reference.folder is not None:
        return FolderSource(reference.folder)
    return RegistrySource(settings, reference)


def _target(model: RegisteredModel) -> ModelTarget:
    return ModelTarget(model.name, model.version, model.alias, model.model_id, dict(model.tags), model)
