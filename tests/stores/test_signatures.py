"""Signatures bind a bundle to its name and version; serving verifies without being able to sign."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from rich.console import Console

from classifier import BundleUntrusted, Classifier, SigningKeyInvalid, SigningKeys
from classifier.manifest import MANIFEST_FILE, write_manifest
from stores.bundles import find_bundle
from stores.model_ref import ModelRef
from stores.registry import ModelRegistry
from stores.settings import SigningSettings, TrackingSettings
from stores.signatures import check_version, sign_version, signatures_in
from tests import golden_messages as messages
from tests.support.bundles import registered, sealed_tfidf_bundle
from tests.support.registries import with_tables
from training.errors import PromotionRefused
from training.pipeline.promotion import sign_registered


def pem(key: Ed25519PrivateKey) -> tuple[str, str]:
    """Private and public key as PEM."""
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return private, public


PRIVATE, PUBLIC = pem(Ed25519PrivateKey.generate())
_, OTHER = pem(Ed25519PrivateKey.generate())
TRAINER, SERVICE, STRANGER = (
    SigningKeys.read(private=PRIVATE), SigningKeys.read(public=PUBLIC), SigningKeys.read(public=OTHER)
)  # fmt: skip
SECRET = SigningKeys("a secret")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("signed") / "bundle"
    sealed_tfidf_bundle(folder)
    return folder


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> ModelRegistry:
    """Versions 1 (Ed25519), 2 (HMAC), 3 (neither), 4 (both)."""
    var = with_tables(tmp_path_factory.mktemp("registry"))
    found = ModelRegistry(TrackingSettings(var_dir=var, model_name="news"))
    both = SigningKeys("a secret", TRAINER.private if TRAINER else None)
    for keys in (TRAINER, SECRET, None, both):
        registered(found, bundle, promote=False, keys=keys)
    return found


@pytest.mark.parametrize(
    ("version", "keys", "trusted"),
    [
        ("1", SERVICE, True),
        ("1", TRAINER, True),
        ("1", STRANGER, False),
        ("1", SECRET, False),
        ("1", SigningKeys.read(public=OTHER + PUBLIC), True),
        ("1", SigningKeys.read("a secret", public=PUBLIC), True),
        ("2", SECRET, True),
        ("2", SigningKeys("another"), False),
        ("2", SERVICE, False),
        ("3", SERVICE, False),
        ("3", SECRET, False),
        ("3", None, True),
        ("4", SERVICE, True),
        ("4", SECRET, True),
        ("4", STRANGER, False),
    ],
)
def test_a_version_is_trusted_by_the_keys_that_signed_it(
    registry: ModelRegistry, version: str, keys: SigningKeys | None, trusted: bool
) -> None:
    reference = ModelRef.parse(version)
    if trusted:
        found = find_bundle(reference, registry.settings, keys)
        assert Classifier.load(found.folder, signing_key=found.manifest_keys).labels
        return
    with pytest.raises(BundleUntrusted, match=rf"\b{version}\b"):
        find_bundle(reference, registry.settings, keys)


def test_a_signature_holds_for_one_name_version_and_manifest(
    registry: ModelRegistry, bundle: Path, tmp_path: Path
) -> None:
    signed = registry.by_version("1")
    check_version(signed, bundle, SERVICE)
    other = shutil.copytree(bundle, tmp_path / "other")
    write_manifest(
        other, data={"source": "elsewhere"}, signing_key=TRAINER
    )  # sealed and signed, by the same key
    assert Classifier.load(other, signing_key=SERVICE).labels
    moved = {"name": "tickets"}, {"version": "2"}
    for update in moved:
        facts = {"name": signed.name, "version": signed.version, **update}
        with pytest.raises(BundleUntrusted):
            check_version(type(signed)(**facts, model_id="m", run_id="", tags=signed.tags), bundle, SERVICE)
    with pytest.raises(BundleUntrusted):
        check_version(signed, other, SERVICE)
    for value in ("", "not base64!", "AAAA", signatures_in(signed.tags)["ed25519"][:-4] + "AAA="):
        broken = type(signed)(signed.name, "1", "m", "", tags={"signature_ed25519": value})
        with pytest.raises(BundleUntrusted):
            check_version(broken, bundle, SERVICE)


def test_a_folder_needs_a_signed_manifest(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleUntrusted, match=messages.VERSION_NOT_SIGNED):
        Classifier.load(bundle, signing_key=SERVICE)
    for keys, trusted, untrusted in ((TRAINER, SERVICE, STRANGER), (SECRET, SECRET, SERVICE)):
        folder = shutil.copytree(bundle, tmp_path / str(keys is SECRET))
        write_manifest(folder, data={}, signing_key=keys)
        assert Classifier.load(folder, signing_key=trusted).labels
        with pytest.raises(BundleUntrusted):
            Classifier.load(folder, signing_key=untrusted)
        manifest = folder / MANIFEST_FILE
        manifest.write_text(manifest.read_text().replace('"data": {}', '"data": {"a": 1}'))
        with pytest.raises(BundleUntrusted):
            Classifier.load(folder, signing_key=trusted)


def test_keys_are_read_from_text_and_files_and_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "private.pem").write_text(PRIVATE)
    (tmp_path / "old.pem").write_text(OTHER)
    (tmp_path / "new.pem").write_text(PUBLIC)
    message = b"a message"
    signing = SigningSettings(model_signing_private_key=str(tmp_path / "private.pem")).keys  # type: ignore[arg-type]
    assert signing is not None
    assert signing.can_sign
    both = f"{tmp_path / 'old.pem'}, {tmp_path / 'new.pem'}"
    for public in (PUBLIC, PUBLIC.replace("\n", "\\n"), OTHER + PUBLIC, both):
        keys = SigningSettings(model_verify_key=public).keys
        assert keys is not None
        assert not keys.can_sign
        assert keys.sign(message) == {}
        keys.verify(message, signing.sign(message), "it")
    assert "hunter2" not in repr(SigningKeys("hunter2"))
    rsa = generate_private_key(65537, 2048)
    rsa_private = rsa.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    rsa_public = rsa.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for private in (
        PUBLIC,
        rsa_private,
        "no key",
        str(tmp_path / "missing"),
        str(tmp_path),
        PRIVATE + PRIVATE,
    ):
        with pytest.raises(SigningKeyInvalid, match="MODEL_SIGNING_PRIVATE_KEY"):
            SigningKeys.read(private=private)
    for public in (
        PRIVATE,
        rsa_public,
        "no key",
        ",",
        str(tmp_path / "missing"),
        "-----BEGIN PUBLIC KEY-----",
    ):
        with pytest.raises(SigningKeyInvalid, match="MODEL_VERIFY_KEY"):
            SigningKeys.read(public=public)


def test_a_command_signs_a_version_from_before_keys_were_set(
    registry: ModelRegistry, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = registered(registry, bundle, promote=False).version
    console = Console(file=io.StringIO())
    for name in ("MODEL_SIGNING_KEY", "MODEL_SIGNING_PRIVATE_KEY", "MODEL_VERIFY_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MODEL_VERIFY_KEY", PUBLIC)
    with pytest.raises(PromotionRefused, match=messages.SIGNING_KEY_MISSING):
        sign_registered(registry, version, console=console)
    monkeypatch.setenv("MODEL_SIGNING_PRIVATE_KEY", PRIVATE)
    sign_registered(registry, version, console=console)
    assert find_bundle(ModelRef.parse(version), registry.settings, SERVICE).model.version == version
    sign_version(registry, registry.by_version(version), bundle, SERVICE)  # cannot sign: changes nothing
    assert set(signatures_in(registry.by_version(version).tags)) == {"ed25519"}
