"""Signatures of bundles: HMAC with a shared secret, or Ed25519 with a private key that only training has.

A signature is made over a message of bytes; `classifier.manifest` signs a bundle's manifest, `stores.signatures` the
name and version under which it is registered. The secret signs and verifies; a public key only verifies.

Usage::

    keys = SigningKeys.read(private="signing.pem")
    keys.verify(message, keys.sign(message))
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from classifier.errors import BundleUntrusted, SigningKeyInvalid

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

HMAC, ED25519 = "hmac", "ed25519"
_PEM = re.compile(r"-----BEGIN [A-Z ]+-----.*?-----END [A-Z ]+-----", re.DOTALL)
_MOST_KEY_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """The keys of one process. A signature by any of them is accepted, so that keys can be rotated."""

    secret: str | None = field(default=None, repr=False)
    """Of HMAC-SHA256."""
    private: Ed25519PrivateKey | None = field(default=None, repr=False)
    """Signs; its public key is trusted."""
    public: tuple[Ed25519PublicKey, ...] = ()
    """Verify."""

    @classmethod
    def read(
        cls, secret: str | None = None, *, private: str | None = None, public: str | None = None
    ) -> SigningKeys | None:
        """Keys from settings; None where none is given.

        Args:
            secret: the shared secret.
            private: Ed25519 private key: PEM (PKCS 8, not encrypted), or the path of a file with it.
            public: Ed25519 public keys: PEM blocks one after another, or paths of such files, separated by commas.

        Raises:
            SigningKeyInvalid: a file cannot be read, or holds no such key.
        """
        if not (secret or private or public):
            return None
        signing = _private(private) if private else None
        known = _public(public) if public else ()
        return cls(secret or None, signing, (*known, *((signing.public_key(),) if signing else ())))

    @property
    def can_sign(self) -> bool:
        """Whether it holds a secret or a private key."""
        return self.secret is not None or self.private is not None

    def sign(self, message: bytes) -> dict[str, str]:
        """Signatures of `message` by each key that can sign: method → text."""
        found = {}
        if self.secret is not None:
            found[HMAC] = hmac.new(self.secret.encode(), message, hashlib.sha256).hexdigest()
        if self.private is not None:
            found[ED25519] = base64.b64encode(self.private.sign(message)).decode()
        return found

    def verify(self, message: bytes, signatures: Mapping[str, object], what: str) -> None:
        """Raise BundleUntrusted unless one of `signatures` of `message` is by one of these keys.

        Args:
            message: what was signed.
            signatures: method → text, as `sign` gives them; others are left out of account.
            what: the signed thing, for the message of the error.
        """
        given = {key: value for key, value in signatures.items() if key in (HMAC, ED25519) and value}
        if not given:
            raise BundleUntrusted(
                f"{what} is not signed, and {self.settings} is set: train with the same key, or unset it"
            )
        if self.secret is not None and isinstance(code := given.get(HMAC), str):
            expected = hmac.new(self.secret.encode(), message, hashlib.sha256).hexdigest()
            if hmac.compare_digest(code.encode("utf-8", "replace"), expected.encode()):
                return
        if self.public and isinstance(text := given.get(ED25519), str):
            from cryptography.exceptions import InvalidSignature

            try:
                signature = base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                signature = b""
            for key in self.public:
                try:
                    key.verify(signature, message)
                except InvalidSignature:
                    continue
                return
        raise BundleUntrusted(f"{what} was signed with another key, or was changed after it was signed")

    @property
    def settings(self) -> str:
        """Names of the settings that are in force, for messages."""
        names = {
            "MODEL_SIGNING_KEY": self.secret is not None,
            "MODEL_SIGNING_PRIVATE_KEY": self.private is not None,
            "MODEL_VERIFY_KEY": len(self.public) > (self.private is not None),
        }
        return " or ".join(name for name, given in names.items() if given)


def as_keys(key: str | SigningKeys | None) -> SigningKeys | None:
    """`key` as keys; a text is the shared secret."""
    return SigningKeys.read(key) if isinstance(key, str) else key


def _private(value: str) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    blocks = _pem_blocks(value, "MODEL_SIGNING_PRIVATE_KEY")
    try:
        key = load_pem_private_key(blocks[0], password=None)
    except (ValueError, TypeError) as error:
        raise SigningKeyInvalid(
            f"MODEL_SIGNING_PRIVATE_KEY holds no private key that can be read: {error}"
        ) from None
    if len(blocks) != 1 or not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyInvalid("MODEL_SIGNING_PRIVATE_KEY must hold one Ed25519 private key")
    return key


def _public(value: str) -> tuple[Ed25519PublicKey, ...]:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    found = []
    for block in _pem_blocks(value, "MODEL_VERIFY_KEY"):
        try:
            key = load_pem_public_key(block)
        except (ValueError, TypeError) as error:
            raise SigningKeyInvalid(
                f"MODEL_VERIFY_KEY holds no public key that can be read: {error}"
            ) from None
        if not isinstance(key, Ed25519PublicKey):
            raise SigningKeyInvalid("MODEL_VERIFY_KEY must hold Ed25519 public keys")
        found.append(key)
    return tuple(found)


def _pem_blocks(value: str, setting: str) -> list[bytes]:
    """The PEM blocks in a setting, or in the files that it names."""
    texts = [value.replace("\\n", "\n")]
    if "-----BEGIN" not in value:
        texts = []
        for name in filter(None, (part.strip() for part in value.split(","))):
            try:
                with Path(name).open("rb") as file:
                    texts.append(file.read(_MOST_KEY_BYTES).decode("ascii", "replace"))
            except OSError as error:
                raise SigningKeyInvalid(f"{setting}: {name!r} cannot be read: {error.strerror}") from None
    blocks = [block.encode("ascii", "replace") for text in texts for block in _PEM.findall(text)]
    if not blocks:
        raise SigningKeyInvalid(
            f"{setting} holds no PEM block (-----BEGIN …-----) and names no file that does"
        )
    return blocks
