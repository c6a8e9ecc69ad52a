"""Which model scores: the champion of the registry, a pinned version, or a bundle's folder."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from classifier import Classifier, ClassifierError
from classifier.manifest import MANIFEST_FILE, sha256_of
from service.scoring.errors import ModelMissing
from service.sources import ModelSource, Wanted, source_of
from stores.errors import RegistryUnavailable, StoreError
from stores.settings import SigningSettings, TrackingSettings

_LATEST = re.compile(r"models:/(?P<name>[^/@]+)/latest")


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

    When MLflow does not answer, the last known champion is taken from the local cache, with a warning.

    Raises:
        ModelMissing: nothing is registered, nothing answers, or the bundle is refused.
    """
    try:
        source = source_of(_numbered(tracking))
        wanted, warning = _wanted(source)
        classifier = Classifier.load(source.fetch(wanted), signing_key=signing.key)
    except (StoreError, ClassifierError, ValueError) as error:
        raise ModelMissing(str(error)) from error
    return ScoringModel(classifier, wanted.name, wanted.version, warning)


def _numbered(tracking: TrackingSettings) -> TrackingSettings:
    """`models:/NAME/latest` as the number of the version registered last.

    For a file only: what is served follows an alias, which the gate gives.
    """
    match = _LATEST.fullmatch(tracking.model_uri or "")
    if match is None:
        return tracking
    from stores.models import ModelRegistry

    latest = ModelRegistry(tracking.model_copy(update={"model_name": match["name"]})).latest()
    return tracking.model_copy(update={"model_uri": f"models:/{latest.name}/{latest.version}"})


def _wanted(source: ModelSource) -> tuple[Wanted, str | None]:
    try:
        return source.wanted(), None
    except RegistryUnavailable as error:
        known = source.last_known()
        if known is None:
            raise
        return known, f"{error}; version {known.version} from the local cache scores instead"
