"""`python -m training promote` and `rollback`: what a change of champion changes, and what needs `--force`."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from classifier.manifest import verify_manifest
from stores.bundles import find_version
from stores.model_ref import ModelRef
from stores.promotion import PromotionChange, label_change
from stores.registry import PREVIOUS, ModelRegistry, RegisteredModel
from stores.settings import SigningSettings
from stores.signatures import sign_version
from training.errors import PromotionRefused


def promote_version(
    registry: ModelRegistry, wanted: str, *, force: bool, console: Console
) -> RegisteredModel:
    """Show what promoting a version changes, and promote it if the champion that was shown is champion still.

    `wanted` is a version's number or another reference to a version of this model (`stores.model_ref`). With `force`
    the registry notes that its labels are accepted, so that running services swap to them.

    Raises:
        PromotionRefused: it is no version of this model, or has other labels than the champion or the gate refused it,
            and `force` is not given.
        ChampionChanged: another version became champion meanwhile; nothing was changed.
        BadModelReference, ModelNotRegistered, RegistryUnavailable, PromotionBusy: see `ModelRegistry`.
    """
    _say_repairs(registry, console)
    version = _version_of(registry, wanted)
    change = registry.change(version)
    if change.champion is not None and change.champion.version == change.version.version:
        console.print(
            f"Version {version} of {registry.name} is champion already.", highlight=False, markup=False
        )
        return change.version
    console.print(change_table(change))
    if (refusals := change.refusals()) and not force:
        raise PromotionRefused(
            f"{'; and '.join(refusals)}. Version {version} was not promoted; `--force` promotes it all the same"
        )
    for refusal in refusals:
        console.print(f"Forced, although {refusal}.", highlight=False, markup=False)
    champion = change.champion.version if change.champion else None
    promoted = registry.promote(version, accept_labels=force, expected=champion)
    console.print(
        f"Version {promoted.version} of {promoted.name} is champion.", highlight=False, markup=False
    )
    return promoted


def roll_back(registry: ModelRegistry, *, console: Console) -> RegisteredModel:
    """Swap `champion` and `previous`, whatever the gate said of them, and say so where their labels differ."""
    _say_repairs(registry, console)
    change = registry.change(registry.by_alias(PREVIOUS).version)
    champion = registry.rollback()
    console.print(
        f"Version {champion.version} of {champion.name} is champion again.", highlight=False, markup=False
    )
    if change.labels_differ and change.champion is not None:
        console.print(
            f"Its labels are others than those of version {change.champion.version}: "
            f"{label_change(change.added, change.removed)}.",
            highlight=False,
            markup=False,
        )
    return champion


def sign_registered(registry: ModelRegistry, wanted: str, *, console: Console) -> RegisteredModel:
    """Sign a version that is registered: one from before keys were set, or when a key is exchanged.

    Its hashes are checked first, so what is signed is what its manifest lists.

    Raises:
        PromotionRefused: no key that signs is set, or it is no version of this model.
        BundleError: the bundle is damaged or incomplete.
    """
    keys = SigningSettings().keys
    if keys is None or not keys.can_sign:
        raise PromotionRefused(
            "no key that signs is set: set MODEL_SIGNING_PRIVATE_KEY, or MODEL_SIGNING_KEY"
        )
    version = registry.by_version(_version_of(registry, wanted))
    folder = registry.fetch(version)
    verify_manifest(folder)
    sign_version(registry, version, folder, keys)
    console.print(f"Version {version.version} of {version.name} is signed.", highlight=False, markup=False)
    return version


def _version_of(registry: ModelRegistry, wanted: str) -> str:
    """Number of the version of `registry`'s model that `wanted` names."""
    reference = ModelRef.parse(wanted)
    if not reference.is_registered or reference.name not in (None, registry.name):
        raise PromotionRefused(f"{wanted!r} is no version of the model {registry.name!r}")
    return find_version(reference, registry).version


def _say_repairs(registry: ModelRegistry, console: Console) -> None:
    for sentence in registry.repair():
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def change_table(change: PromotionChange) -> Table:
    """The version next to the champion, one row per compared property; changes are highlighted."""
    table = Table(
        title=f"Version {change.version.version} of {change.version.name} as champion",
        title_justify="left", box=SIMPLE_HEAD,
    )  # fmt: skip
    table.add_column("")
    champion = change.champion
    table.add_column(f"champion, version {champion.version}" if champion else "no champion", overflow="fold")
    table.add_column(f"version {change.version.version}", overflow="fold")
    for name, before, after in change.rows():
        table.add_row(name, Text(before), Text(after), style="bold" if champion and before != after else None)
    if reasons := change.version.tags.get("gate_reasons"):
        table.caption = Text(f"The gate on version {change.version.version}: {reasons}")
        table.caption_justify = "left"
    return table
