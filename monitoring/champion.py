"""What is served, and the reference profile that travels with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from classifier.description import Description
from classifier.errors import BundleError
from classifier.manifest import verify_manifest
from classifier.reference import LIVE_ORIGIN, ORIGIN, read_reference
from monitoring.errors import BadWindow, NoReference
from monitoring.times import moment_of
from stores.bundles import find_bundle, folder_model
from stores.model_ref import ModelRef
from stores.predictions import PredictionStore
from stores.predictions.tombstones import erased_texts
from stores.registry import PROMOTED_AT, ModelRegistry, RegisteredModel
from stores.settings import SigningSettings, TrackingSettings

_ENOUGH_LIVE = 50


@dataclass(frozen=True, slots=True)
class MonitoredModel:
    """The served model, as far as monitoring needs it: it is not loaded, its predictions are read."""

    model: RegisteredModel
    labels: tuple[str, ...]
    reference: pd.DataFrame
    """Columns as in `classifier.reference`, each text once."""
    folder: Path
    """Of its bundle, verified."""
    note: str | None = None
    """What the reader of a verdict should know about how the champion was found."""

    @property
    def title(self) -> str:
        """`news version 7`."""
        return f"{self.model.name} version {self.model.version}"

    @property
    def promoted_at(self) -> float | None:
        """When it became champion (seconds since the epoch); None where the registry does not say."""
        try:
            return moment_of(self.model.tags[PROMOTED_AT])
        except (KeyError, BadWindow):
            return None


def find_champion(
    registry: ModelRegistry, tracking: TrackingSettings, signing: SigningSettings
) -> MonitoredModel:
    """The model that the service follows (alias, or what MODEL_URI pins), verified, with its reference.

    While MLflow is away the last known champion is taken, as the service does.

    Raises:
        StoreError: no such model, MODEL_URI is no reference, or MLflow is away and nothing is cached.
        BundleError: the bundle is damaged, incomplete or not trusted.
        NoReference: the bundle has no reference texts.
    """
    found = find_bundle(
        ModelRef.configured(tracking), tracking, signing.keys, offline=True, registry=registry
    )
    model, folder, note = found.model, found.folder, found.note
    verify_manifest(folder, signing_key=found.manifest_keys)
    try:
        reference = read_reference(folder)
    except BundleError as error:
        raise NoReference(str(error)) from None
    # Duplicates could be in both parts of a split of the reference.
    reference = reference.drop_duplicates("text").reset_index(drop=True)
    reference, compared = live_reference(reference)
    if reference.empty:
        raise NoReference(f"the reference of {model.name} version {model.version} holds no texts")
    found.note_loaded()
    note = " ".join(said for said in (note, compared) if said) or None
    return MonitoredModel(model, Description.read(folder).labels, reference, folder, note)


def without_erased(champion: MonitoredModel, store: PredictionStore) -> MonitoredModel:
    """The champion without the texts of its reference that were erased, or pruned after they were labelled.

    Raises:
        PredictionStoreError: the store cannot be read.
        NoReference: nothing is left of the reference.
    """
    with store.reading() as connection:
        erased = erased_texts(connection, list(map(str, champion.reference["text"])))
    if not erased:
        return champion
    kept = champion.reference.drop(index=sorted(erased)).reset_index(drop=True)
    if kept.empty:
        raise NoReference(f"every text of the reference of {champion.title} was erased: retrain the model")
    note = f"{len(erased)} texts of the reference were erased and are not compared with."
    return replace(champion, reference=kept, note=" ".join(said for said in (champion.note, note) if said))


def live_reference(reference: pd.DataFrame) -> tuple[pd.DataFrame, str | None]:
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


def monitored_name(tracking: TrackingSettings) -> str:
    """Name under which the served model's predictions and checks are kept; nothing is fetched for it."""
    reference = ModelRef.configured(tracking)
    if reference.folder is not None:
        return folder_model(reference.folder).name
    return reference.name or tracking.model_name
