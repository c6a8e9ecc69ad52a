"""Signatures that bind a bundle to the name and version that it is registered as, kept as tags of the version.

A manifest has the hash of every file of a bundle and may be signed itself, but it cannot name the version, which is
known after registration only. Without that, a signed bundle could be put in the place of another version's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.errors import BundleIncomplete, BundleUntrusted
from classifier.manifest import MANIFEST_FILE, sha256_of
from classifier.signing import SigningKeys
from stores.model_cache import RegisteredModel

if TYPE_CHECKING:
    from stores.registry import ModelRegistry

SIGNATURE_PREFIX = "signature_"
"""Beginning of the tags' names; `hmac` or `ed25519` follows."""


def version_message(name: str, version: str, manifest_sha256: str) -> bytes:
    """What is signed: the name, the version and the SHA-256 of the manifest, as canonical JSON."""
    signed = {"format": "champion-version-1", "name": name, "version": version, "manifest": manifest_sha256}
    return json.dumps(signed, sort_keys=True, separators=(",", ":")).encode()


def signatures_in(tags: Mapping[str, str]) -> dict[str, str]:
    """Method → signature, from the tags of a version."""
    return {
        key.removeprefix(SIGNATURE_PREFIX): value
        for key, value in tags.items()
        if key.startswith(SIGNATURE_PREFIX)
    }


def sign_version(
    registry: ModelRegistry, model: RegisteredModel, folder: Path, keys: SigningKeys | None
) -> None:
    """Sign `model` as the version of the bundle in `folder`; nothing without a key that can sign."""
    if keys is None or not keys.can_sign:
        return
    message = version_message(model.name, model.version, sha256_of(folder / MANIFEST_FILE))
    registry.tag(
        model.version, {SIGNATURE_PREFIX + method: text for method, text in keys.sign(message).items()}
    )


def check_version(model: RegisteredModel, folder: Path, keys: SigningKeys | None) -> None:
    """Check that the bundle in `folder` was signed as this version; nothing without keys.

    Hashes are not compared here: the manifest is the signed one, and loading compares every file with it.

    Raises:
        BundleUntrusted: it is not signed, was signed as another name or version, or by another key.
        BundleIncomplete: it has no manifest.
    """
    if keys is None:
        return
    manifest = folder / MANIFEST_FILE
    if not manifest.is_file():
        raise BundleIncomplete(f"{manifest} is missing: {folder} is not a sealed classifier bundle")
    what = f"{model.name} version {model.version}"
    signatures = signatures_in(model.tags)
    if not signatures:
        raise BundleUntrusted(
            f"{what} is not signed as this version, and {keys.settings} is set: `python -m training sign "
            f"{model.version}` signs it where the key that signs is set"
        )
    try:
        keys.verify(version_message(model.name, model.version, sha256_of(manifest)), signatures, what)
    except BundleUntrusted:
        raise BundleUntrusted(
            f"{what} was signed with another key, or its bundle is not the one that was signed as {what}"
        ) from None
