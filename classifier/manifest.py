"""`manifest.json`: the SHA-256 of every file of a bundle, where it came from, and its signature."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from classifier.errors import BundleDamaged, BundleIncomplete
from classifier.signing import ED25519, HMAC, SigningKeys, as_keys

MANIFEST_FILE = "manifest.json"
_LIBRARIES = (
    "numpy", "onnxruntime", "tokenizers", "scikit-learn", "skops", "catboost", "torch", "transformers", "mlflow-skinny",
)  # fmt: skip


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def library_versions() -> dict[str, str]:
    """Versions of the installed libraries that decide what a model computes."""
    versions = {"python": platform.python_version()}
    for name in _LIBRARIES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return versions


def machine_fingerprint() -> dict[str, str]:
    """What kind of machine this is: enough to explain a numeric difference, nothing that names its owner."""
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "processor": _processor_name(),
        "cores": str(os.cpu_count() or 0),
    }


def _processor_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def write_manifest(
    folder: Path, *, data: dict[str, Any], signing_key: str | SigningKeys | None = None
) -> dict[str, Any]:
    """Seal a finished bundle: hash every file and write `manifest.json` last.

    Args:
        folder: the bundle; nothing in it may change afterwards.
        data: fingerprint of the training data and other facts about the origin of the model (JSON).
        signing_key: the keys that sign the whole manifest, or the secret of HMAC-SHA256; None leaves it unsigned.

    Returns:
        The manifest as written.
    """
    manifest: dict[str, Any] = {
        "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "files": {name: sha256_of(folder / name) for name in _files_of(folder)},
        "data": data,
        "libraries": library_versions(),
        "machine": machine_fingerprint(),
    }
    keys = as_keys(signing_key)
    signatures = keys.sign(_signed_part(manifest)) if keys else {}
    manifest |= {
        HMAC: signatures.get(HMAC),
        **({ED25519: signatures[ED25519]} if ED25519 in signatures else {}),
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False, sort_keys=True) + "\n"
    (folder / MANIFEST_FILE).write_text(text, encoding="utf-8")
    return manifest


def verify_manifest(folder: Path, *, signing_key: str | SigningKeys | None = None) -> dict[str, Any]:
    """Check every file of a bundle against its manifest and return the manifest.

    Raises:
        BundleIncomplete: the manifest or a listed file is missing, or an unlisted file is present.
        BundleDamaged: the manifest is not valid, or a file's SHA-256 differs.
        BundleUntrusted: `signing_key` is given, and the manifest is signed by none of these keys.
    """
    path = folder / MANIFEST_FILE
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        listed = dict(manifest["files"])
    except FileNotFoundError:
        raise BundleIncomplete(f"{path} is missing: {folder} is not a sealed classifier bundle") from None
    except (ValueError, KeyError, TypeError) as error:
        raise BundleDamaged(f"{path} is not a valid manifest: {error!r}") from None

    if keys := as_keys(signing_key):
        keys.verify(_signed_part(manifest), manifest, str(path))
    present = set(_files_of(folder))
    if missing := sorted(set(listed) - present):
        raise BundleIncomplete(
            f"{folder / missing[0]} is missing ({len(missing)} of {len(listed)} listed files)"
        )
    if unlisted := sorted(present - set(listed)):
        raise BundleIncomplete(
            f"{folder / unlisted[0]} is not listed in {MANIFEST_FILE}: the bundle was changed"
        )
    for name, expected in listed.items():
        if (found := sha256_of(folder / name)) != expected:
            raise BundleDamaged(
                f"{folder / name} is damaged or was changed: its SHA-256 is {found[:12]}…, "
                f"{MANIFEST_FILE} says {expected[:12]}…"
            )
    return dict(manifest)


def _files_of(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path != folder / MANIFEST_FILE
    )


def _signed_part(manifest: dict[str, Any]) -> bytes:
    """The manifest without its signatures, as canonical JSON."""
    unsigned = {name: value for name, value in manifest.items() if name not in (HMAC, ED25519)}
    return json.dumps(unsigned, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
