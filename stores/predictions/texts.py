"""What is computed from a text: the form that databases can store, hashes, and features.

Hashes are SHA-256, and a keyed hash of it from which a short text cannot be guessed without the key. Features are for
predictions whose text is not stored: they are defined as Evidently's descriptors TextLength, WordCount, SentenceCount
and NonLetterCharacterPercentage, and a test of monitoring compares the two.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import string

_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")


def storable(text: str) -> str:
    """`text` as every database can keep it: NUL and lone surrogates, which JSON may carry, become U+FFFD."""
    if text.isascii() and "\0" not in text:
        return text
    return _NOT_STORABLE.sub("\ufffd", text)


def sha256_of_text(text: str) -> str:
    """SHA-256 of a text in UTF-8, in hexadecimal; of the form in which databases can keep it."""
    return hashlib.sha256(storable(text).encode()).hexdigest()


def keyed_hash(digest: str, key: str) -> str:
    """The keyed hash of a text whose SHA-256 is `digest`."""
    return hmac.new(key.encode(), digest.encode(), hashlib.sha256).hexdigest()


TEXT_FEATURES = ("text_length", "word_count", "sentence_count", "non_letters", "capitals")
"""Characters; words of Latin letters; sentences; percentage of characters that are no letters, and of capitals."""

MEASURED_CHARACTERS = 20_000
"""Characters of a text that are measured, by monitoring too: its cost is bounded by it."""

_NO_WORD = bytes(set(range(256)) - {*string.ascii_letters.encode(), *b" "})
_SENTENCE_END = re.compile(r"[.?](?<!\w\.\w.)(?<![A-Z][a-z]\.)\s")
"""Begins with its full stop, which is searched for quickly: three times as fast as a look-behind at every blank."""
_CAPITALS = string.ascii_uppercase.encode()
_LETTERS = string.ascii_letters.encode()


def text_features(text: str) -> dict[str, float]:
    """The features of the first MEASURED_CHARACTERS characters of `text`."""
    text = text[:MEASURED_CHARACTERS] or " "
    letters, capitals = _letters_and_capitals(text)
    return {
        "text_length": float(len(text)),
        "word_count": float(len(text.encode(errors="replace").translate(None, _NO_WORD).split())),
        "sentence_count": float(1 + len(_SENTENCE_END.findall(text))),
        "non_letters": 100 * (len(text) - letters - text.count(" ")) / len(text),
        "capitals": 100 * capitals / len(text),
    }


def _letters_and_capitals(text: str) -> tuple[int, int]:
    if text.isascii():  # most texts are, and this is five times as fast
        plain = text.encode()
        return len(plain) - len(plain.translate(None, _LETTERS)), len(plain) - len(
            plain.translate(None, _CAPITALS)
        )
    return sum(map(str.isalpha, text)), sum(map(str.isupper, text))
