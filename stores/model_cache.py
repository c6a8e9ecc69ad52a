"""Bundles of registered versions on this machine, and which were loaded last: what a start needs without MLflow.

Nothing here imports MLflow or asks it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from stores.names import check_alias, check_model_name, file_name, path_component
from stores.settings import TrackingSettings


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

    @property
    def model_uri(self) -> str:
        """Address of the logged model."""
        return f"models:/{self.model_id}"


class ModelCache:
    """The local cache of one model's bundles.

    Only a version that was loaded is remembered: an alias that was moved to something that cannot be served must not
    take the place of what a restart can serve.

    Raises:
        NameRefused: no model can have the settings' name or alias.
    """

    def __init__(self, settings: TrackingSettings) -> None:
        self.settings = settings
        self.name = check_model_name(settings.model_name)
        check_alias(settings.model_alias)

    @property
    def root(self) -> Path:
        """Folder of this model's bundles."""
        # Two registries may both have a version 7 of the same name.
        registry = hashlib.sha256(self.settings.tracking_uri.encode()).hexdigest()[:8]
        return self.settings.folder("models", f"{file_name(self.name)}-{registry}")

    def folder(self, model: RegisteredModel) -> Path:
        """Where a version's bundle is, or would be."""
        return self.root / path_component(f"v{model.version}-{model.model_id}")

    def forget(self, model: RegisteredModel) -> None:
        """Drop a version's bundle, where it may have been damaged."""
        shutil.rmtree(self.folder(model), ignore_errors=True)

    def remember(self, model: RegisteredModel) -> None:
        """Note that a version was loaded, for a start without the registry: by its alias, and by its number."""
        content = asdict(model)
        if model.alias:
            self._write(f"alias-{model.alias}.json", content)
        self._write(f"version-{model.version}.json", content)

    def last_loaded(self, alias: str | None = None, *, version: str | None = None) -> RegisteredModel | None:
        """The version loaded last by `alias` (default: the setting's) or as `version`, if its bundle is here."""
        name = f"version-{version}.json" if version else f"alias-{alias or self.settings.model_alias}.json"
        try:
            model = RegisteredModel(
                **json.loads((self.root / path_component(name)).read_text(encoding="utf-8"))
            )
        except (OSError, ValueError, TypeError):
            return None
        return model if self.folder(model).is_dir() else None

    def note_served(self, model: RegisteredModel, labels: Sequence[str]) -> None:
        """Remember which version a service answers with, and its labels, for its next start."""
        alias = model.alias or self.settings.model_alias
        self._write(f"served-{alias}.json", {"model": asdict(model), "labels": list(labels)})

    def last_served(self, alias: str | None = None) -> tuple[RegisteredModel, tuple[str, ...]] | None:
        """What a service with this cache answered with last, under `alias`, and its labels."""
        path = self.root / path_component(f"served-{alias or self.settings.model_alias}.json")
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return RegisteredModel(**found["model"]), tuple(map(str, found["labels"]))
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        root = self.root
        path, text = root / path_component(name), json.dumps(content)
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return
        with tempfile.NamedTemporaryFile("w", dir=root, delete=False, encoding="utf-8") as file:
            file.write(text)
        Path(file.name).replace(path)
