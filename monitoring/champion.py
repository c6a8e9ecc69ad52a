"""What is served, and the reference profile that travels with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from classifier.description import Description
from classifier.errors import BundleError
from classifier.manifest import verify_manifest
from classifier.reference import LIVE_ORIGIN, ORIGIN, read_reference
from monitoring.errors import MonitoringError, NoReference
from stores.errors import RegistryUnavailable
from stores.models import ModelRegistry, RegisteredModel
from stores.settings import SigningSettings, TrackingSettings

_ENOUGH_LIVE = 50
_PINNED = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")


@dataclass(frozen=True, slots=True)
class Champion:
    """The served model, as far as monitoring needs it: it is not loaded, its predictions are read."""

    model: RegisteredModel
    labels: tuple[str, ...]
    reference: pd.DataFrame
    """Columns as in `classifier.reference`, each text once."""
    note: str | None = None
    """What the reader of a verdict should know about how the champion was found."""

    @property
    def title(self) -> str:
        """`news version 7`."""
        return f"{self.model.name} version {self.model.version}"


def find_champion(registry: ModelRegistry, tracking: TrackingSettings, signing: SigningSettings) -> Champion:
    """The model that the service follows (alias, or what MODEL_URI pins), verified, with its reference.

    While MLflow is away the last known champion is taken, as the service does.

    Raises:
        StoreError: no such model, or MLflow is away and nothing is cached.
        BundleError: the bundle is damaged, incomplete or not trusted.
        NoReference: the bundle has no reference texts.
    """
    model, folder, note = _located(registry, tracking)
    verify_manifest(folder, signing_key=signing.key)
    try:
        reference = read_reference(folder)
    except BundleError as error:
        raise NoReference(str(error)) from None
    # A text that stands twice in the reference would be on both sides of a split of it.
    reference = reference.drop_duplicates("text").reset_index(drop=True)
    reference, compared = traffic_of_today(reference)
    if reference.empty:
        raise NoReference(f"the reference of {model.name} version {model.version} holds no texts")
    note = " ".join(said for said in (note, compared) if said) or None
    return Champion(model, Description.read(folder).labels, reference, note)


def traffic_of_today(reference: pd.DataFrame) -> tuple[pd.DataFrame, str | None]:
    """The live texts of a reference, where enough were held out; else all of it.

    A model that was retrained because the traffic had changed is right to see that traffic. Held against the texts
    from before as well, the alarm would never end.
    """
    if ORIGIN not in reference:
        return reference, None
    live = reference[reference[ORIGIN] == LIVE_ORIGIN]
    if len(live) < _ENOUGH_LIVE:
        return reference, (
            f"The reference has {len(live)} live texts, too few to be compared with alone ({_ENOUGH_LIVE} are needed)."
        )
    return live.reset_index(drop=True), (
        f"Compared with the {len(live)} live texts that were held out when the model was retrained, not with the "
        f"{len(reference) - len(live)} other texts of its test part: the traffic had changed by then."
    )


def watched_name(tracking: TrackingSettings) -> str:
    """Name under which the served model's predictions and checks are kept; nothing is fetched for it."""
    uri = tracking.model_uri
    if not uri:
        return tracking.model_name
    match = _PINNED.fullmatch(uri)
    return match["name"] if match else Path(uri).resolve().name


def _located(registry: ModelRegistry, tracking: TrackingSettings) -> tuple[RegisteredModel, Path, str | None]:
    uri = tracking.model_uri
    if uri and not uri.startswith("models:"):
        folder = Path(uri).resolve()
        # The service calls a pinned folder so in what it logs.
        return RegisteredModel(folder.name, "folder", str(folder), ""), folder, None
    version = None
    if uri:
        match = _PINNED.fullmatch(uri)
        if match is None:
            raise MonitoringError(
                f"MODEL_URI is {uri!r}; it must be models:/NAME/VERSION, models:/NAME@ALIAS or the folder of a bundle"
            )
        update = {"model_name": match["name"]} | ({"model_alias": match["alias"]} if match["alias"] else {})
        registry, version = ModelRegistry(tracking.model_copy(update=update)), match["version"]
    try:
        model = registry.by_version(version) if version else registry.by_alias()
        return model, registry.fetch(model), None
    except RegistryUnavailable:
        last = None if version else registry.last_known()
        if last is None:
            raise
        note = f"MLflow does not answer: compared with the last known champion, version {last.version}."
        return last, registry.fetch(last), note
