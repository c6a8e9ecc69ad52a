"""Where the served model comes from: an alias or a version of the registry, or a folder."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from stores.settings import TrackingSettings

if TYPE_CHECKING:
    from stores.models import ModelRegistry, RegisteredModel

_MLFLOW_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""By default MLflow tries for minutes; the next poll is the next try, and the last known champion waits behind it."""
_PINNED = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The version that should be served."""

    name: str
    version: str
    alias: str | None
    model_id: str
    """What tells it from every other model, also from one of the same name and version in another registry."""
    tags: dict[str, str] = field(default_factory=dict)
    registered: RegisteredModel | None = None


class ModelSource(Protocol):
    """Says what to serve, and fetches it. Raises StoreError when it cannot."""

    address: str
    """What is followed, for people: `models:/news@champion`."""

    def wanted(self) -> Wanted:
        """The version that should be served now."""
        ...

    def last_known(self) -> Wanted | None:
        """What `wanted` was when it was last known and can still be fetched; asks nobody."""
        ...

    def fetch(self, wanted: Wanted) -> Path:
        """Folder of its bundle."""
        ...

    def forget(self, wanted: Wanted) -> bool:
        """Drop a local copy that is damaged; whether fetching again may give another one."""
        ...


class FolderSource:
    """One bundle's folder; needs no registry at all."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder)
        self._folder = folder.resolve()

    def wanted(self) -> Wanted:
        """The folder, always."""
        return Wanted(self._folder.name, "folder", None, str(self._folder))

    def last_known(self) -> Wanted | None:
        """None: a folder is always known."""
        return None

    def fetch(self, _wanted: Wanted) -> Path:
        """The folder."""
        return self._folder

    def forget(self, _wanted: Wanted) -> bool:
        """False: the folder is the user's, and there is no other."""
        return False


class RegistrySource:
    """An alias or, when `version` is given, one version of MLflow's registry.

    MLflow is imported when it is first asked, so that the process answers `/livez` while it loads.
    """

    def __init__(self, settings: TrackingSettings, version: str | None = None) -> None:
        self._settings = settings
        self._version = version
        pin = f"/{version}" if version else f"@{settings.model_alias}"
        self.address = f"models:/{settings.model_name}{pin}"
        self._opened: ModelRegistry | None = None

    def wanted(self) -> Wanted:
        """The pinned version, or the one that the alias points to now."""
        registry = self._registry()
        found = registry.by_version(self._version) if self._version else registry.by_alias()
        return _wanted(found)

    def last_known(self) -> Wanted | None:
        """The alias's version when MLflow last answered, if its bundle is in the local cache."""
        known = None if self._version else self._registry().last_known()
        return _wanted(known) if known else None

    def fetch(self, wanted: Wanted) -> Path:
        """Folder of the version's bundle in the local cache."""
        assert wanted.registered is not None, "this is a bug: a version of the registry without its record"
        return self._registry().fetch(wanted.registered)

    def forget(self, wanted: Wanted) -> bool:
        """Drop the cached copy; the registry has the original."""
        assert wanted.registered is not None, "this is a bug: a version of the registry without its record"
        self._registry().forget(wanted.registered)
        return True

    def _registry(self) -> ModelRegistry:
        for name, value in _MLFLOW_PATIENCE.items():  # before the import, which has a patience of its own
            os.environ.setdefault(name, value)
        from stores.models import ModelRegistry

        if self._opened is None:
            self._opened = ModelRegistry(self._settings)
        return self._opened


def source_of(settings: TrackingSettings) -> ModelSource:
    """What the settings say to serve: MODEL_URI, or else MODEL_ALIAS of MODEL_NAME.

    Raises:
        ValueError: MODEL_URI starts like a model's address and is none.
    """
    uri = settings.model_uri
    if uri is None:
        return RegistrySource(settings)
    if not uri.startswith("models:"):
        return FolderSource(Path(uri))
    match = _PINNED.fullmatch(uri)
    if match is None:
        raise ValueError(
            f"MODEL_URI is {uri!r}; it must be models:/NAME/VERSION, models:/NAME@ALIAS or the folder of a bundle"
        )
    alias = match["alias"] or settings.model_alias
    pinned = settings.model_copy(update={"model_name": match["name"], "model_alias": alias})
    return RegistrySource(pinned, match["version"])


def _wanted(model: RegisteredModel) -> Wanted:
    return Wanted(model.name, model.version, model.alias, model.model_id, dict(model.tags), model)
