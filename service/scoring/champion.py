"""Which model scores: the champion of the registry, a pinned version, or a bundle's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier import Classifier, ClassifierError
from classifier.manifest import MANIFEST_FILE, sha256_of
from service.scoring.errors import ModelMissing
from stores.errors import RegistryUnavailable, StoreError
from stores.settings import SigningSettings, TrackingSettings

_SCHEME = "models:/"


@dataclass(frozen=True, slots=True)
class ScoringModel:
    """A loaded model and what it is called."""

    classifier: Classifier
    name: str
    version: str
    warning: str | None = None
    """What a person should know about how it was found."""

    @property
    def identity(self) -> dict[str, Any]:
        """What tells this model from every other: its name, version, and the hash of its manifest."""
        manifest = sha256_of(self.classifier.folder / MANIFEST_FILE)
        return {"name": self.name, "version": self.version, "manifest_sha256": manifest}

    def __str__(self) -> str:
        return f"{self.name} version {self.version}"


def load_model(tracking: TrackingSettings, signing: SigningSettings) -> ScoringModel:
    """Load what MODEL_URI names, or else the version that MODEL_ALIAS points to.

    Raises:
        ModelMissing: nothing is registered, nothing answers, or the bundle is refused.
    """
    try:
        folder, name, version, warning = _located(tracking)
        classifier = Classifier.load(folder, signing_key=signing.key)
    except (StoreError, ClassifierError) as error:
        raise ModelMissing(str(error)) from error
    return ScoringModel(classifier, name, version, warning)


def _located(tracking: TrackingSettings) -> tuple[Path, str, str, str | None]:
    uri = tracking.model_uri
    if uri and not uri.startswith(_SCHEME):
        folder = Path(uri)
        return folder, folder.resolve().name, "folder", None

    from stores.models import ModelRegistry  # MLflow, which a folder does not need

    if not uri:
        registry = ModelRegistry(tracking)
        try:
            model, warning = registry.by_alias(), None
        except RegistryUnavailable as error:
            known = registry.last_known()
            if known is None:
                raise
            model, warning = known, f"{error}; version {known.version} from the cache scores instead"
        return registry.fetch(model), model.name, model.version, warning

    name, separator, rest = uri.removeprefix(_SCHEME).partition("@")
    version = ""
    if not separator:
        name, _, version = name.partition("/")
    if not name or not (rest or version):
        raise ModelMissing(
            f"MODEL_URI {uri!r} is neither models:/NAME/VERSION, models:/NAME@ALIAS nor a bundle's folder"
        )
    registry = ModelRegistry(tracking.model_copy(update={"model_name": name}))
    pinned = registry.by_alias(rest) if rest else registry.by_version(version)
    return registry.fetch(pinned), pinned.name, pinned.version, None
