"""Finding the bundle that a reference names: in the registry, a run, a folder or, while MLflow is away, the cache.

Usage::

    found = find_bundle(ModelRef.parse("champion"), TrackingSettings(), SigningSettings().keys)
    Classifier.load(found.folder, signing_key=found.manifest_keys)
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from classifier.signing import SigningKeys
from stores.errors import RegistryUnavailable
from stores.model_cache import ModelCache
from stores.model_ref import ModelRef
from stores.registry import ModelRegistry, RegisteredModel
from stores.settings import TrackingSettings
from stores.signatures import check_version


@dataclass(frozen=True, slots=True)
class FoundBundle:
    """A bundle on this machine and what it is called; its signature as a version is checked, its hashes are not."""

    model: RegisteredModel
    """Of a folder: the folder's name, and `folder` as the version."""
    folder: Path
    manifest_keys: SigningKeys | None
    """Keys that its manifest has to be signed by. None where the version's signature covers the manifest, or no key
    is set."""
    note: str | None = None
    """What a person should know about how it was found."""
    cache: ModelCache | None = None
    """Where it came from; None of a folder, and of a version that the registry was not asked for."""

    def note_loaded(self) -> None:
        """Remember that this version could be loaded, for the time when MLflow is away."""
        if self.cache is not None:
            with suppress(OSError):  # a cache that cannot be written: it is not remembered
                self.cache.remember(self.model)

    @property
    def title(self) -> str:
        """In words: `news, version 7`, or `bundle FOLDER`."""
        if self.model.version == "folder":
            return f"bundle {self.model.name}"
        return f"{self.model.name}, version {self.model.version}"


def folder_model(folder: Path) -> RegisteredModel:
    """What a folder is called, as the service calls it in what it logs."""
    folder = folder.resolve()
    return RegisteredModel(folder.name, "folder", str(folder), "")


def registry_of(reference: ModelRef, tracking: TrackingSettings) -> ModelRegistry:
    """The registry in which a reference is looked up."""
    update: dict[str, str] = {"model_name": reference.name} if reference.name else {}
    if reference.alias:
        update["model_alias"] = reference.alias
    return ModelRegistry(tracking.model_copy(update=update) if update else tracking)


def find_version(reference: ModelRef, registry: ModelRegistry) -> RegisteredModel:
    """The version that a reference to a registered model or a run names.

    Raises:
        ModelNotRegistered, RegistryUnavailable: see `ModelRegistry`.
    """
    if reference.run_id is not None:
        return registry.by_run(reference.run_id, reference.path or "model")
    if reference.version is not None:
        return registry.by_version(reference.version)
    if reference.latest:
        return registry.latest()
    return registry.by_alias(reference.alias)


def find_bundle(
    reference: ModelRef,
    tracking: TrackingSettings,
    keys: SigningKeys | None,
    *,
    offline: bool = False,
    registry: ModelRegistry | None = None,
) -> FoundBundle:
    """Find and, if it must be, download what `reference` names, and check its signature as a version.

    Args:
        reference: what is wanted.
        tracking: the registry and the model that references without a name mean.
        keys: keys that bundles have to be signed by, if any.
        offline: while MLflow is away, take the version that was loaded last from the cache.
        registry: an open registry of that model, to be used for references without a name.

    Raises:
        ModelNotRegistered, RegistryUnavailable, NotABundle: see `ModelRegistry`.
        BundleUntrusted, BundleIncomplete: see `stores.signatures.check_version`.
    """
    if reference.folder is not None:
        return FoundBundle(folder_model(reference.folder), reference.folder, keys)
    if registry is None or reference.name is not None:
        registry = registry_of(reference, tracking)
    note = None
    try:
        model = find_version(reference, registry)
        folder = registry.fetch(model)
    except RegistryUnavailable:
        known = registry.cache.last_loaded(reference.alias, version=reference.version)
        if not offline or known is None or reference.latest or reference.run_id is not None:
            raise
        model, folder = known, registry.cache.folder(known)
        note = (
            f"MLflow does not answer: version {model.version} of {model.name} was taken from the local cache."
        )
    if reference.run_id is not None:  # it has no version to be signed as
        return FoundBundle(model, folder, keys, note)
    check_version(model, folder, keys)
    return FoundBundle(model, folder, None, note, registry.cache if note is None else None)
