"""Labels: cell values as text, missing labels, spelling variants, and lists of labels."""

from __future__ import annotations

import ast
import datetime
import json
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Literal
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from training.errors import NotOneValue

_SHOWN = 60


def as_text(value: Any, encoding: str = "utf-8") -> str:
    """A value as text: None, NaN and NaT are empty, whole numbers have no fraction, booleans are `True` and `False`.

    Booleans are written as pandas writes them to CSV, so that one table gives the same labels in every format.

    Args:
        value: of a column; bytes are decoded.
        encoding: of bytes.

    Raises:
        NotOneValue: it is a list, an object, or another value with more than one part.
        UnicodeDecodeError: bytes are not in `encoding`.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode(encoding)
    if not isinstance(value, list | tuple | dict | set) and getattr(value, "ndim", None) == 0:
        value = value.item()  # a scalar of numpy
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int | float | Decimal):
        return _number(value)
    if isinstance(value, datetime.date | datetime.time):  # datetime is a date; NaT is not equal to itself
        return value.isoformat() if value == value else ""
    if isinstance(value, str | UUID | datetime.timedelta):
        return str(value)
    raise NotOneValue(value)


def shown(value: Any) -> str:
    """A value for a message, cut to one short line."""
    line = " ".join(repr(value).split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def whole_number(text: str) -> str:
    """`text` without a fraction of zeros: `1` for `1.0`; any other text as it is."""
    head, dot, fraction = text.partition(".")
    digits = head[1:] if head[:1] in "+-" else head
    if dot and digits.isdecimal() and fraction.strip("0") == "":
        return head
    return text


def _number(value: float | Decimal) -> str:
    if value != value:
        return ""
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if not value.is_finite():
        return str(value)
    return str(int(value)) if value == value.to_integral_value() else str(value.normalize())


INVISIBLE = "\u00ad\u200b\u200e\u200f\u2060\ufeff"
"""Characters that take no room: soft hyphen, zero-width space, direction marks, word joiner, byte order mark. Joiners
that scripts and emoji need are not among them."""

_INVISIBLE = re.compile(f"[{INVISIBLE}\u202a-\u202e\u2066-\u2069]")
_NUMBER = re.compile(r"[+-]?\d{1,30}(?:\.\d{0,30})?(?:[eE][+-]?\d{1,2})?|[+-]?\.\d{1,30}")
_SEPARATORS = ("|", ";", ",")
_LONGEST_LIST = 10_000
_MANY_NUMBERS = 20

LabelKind = Literal["numbers", "dates", "words"]


@dataclass(frozen=True)
class LabelVariants:
    """One label in several spellings: other case, blanks, Unicode form or number format."""

    kept: str
    """The most frequent spelling."""
    spellings: dict[str, int]
    """Spelling → rows, the most frequent first."""

    @property
    def rows(self) -> int:
        """Rows with another spelling than the most frequent."""
        return sum(self.spellings.values()) - self.spellings[self.kept]

    def __str__(self) -> str:
        return ", ".join(f"{spelling!r} ×{count}" for spelling, count in self.spellings.items())


def trimmed(text: str) -> str:
    """`text` without blanks and invisible characters at its ends."""
    while (shorter := text.strip().strip(INVISIBLE)) != text:
        text = shorter
    return text


def label_variants(labels: Iterable[str]) -> list[LabelVariants]:
    """Labels that differ only by case, blanks, Unicode form or number format, the most rows with a variant first.

    >>> [group.spellings for group in label_variants(["Spam", "spam", "spam", "ham", "1", "1.0"])]
    [{'spam': 2, 'Spam': 1}, {'1': 1, '1.0': 1}]
    """
    counts = Counter(labels)
    by_key: dict[str, list[str]] = {}
    for label in counts:
        by_key.setdefault(variant_key(label), []).append(label)
    groups = []
    for spellings in by_key.values():
        if len(spellings) > 1:
            # Of equally frequent ones the shortest, then the first by character, whatever came first.
            ranked = sorted(spellings, key=lambda label: (-counts[label], len(label), label))
            groups.append(LabelVariants(ranked[0], {label: counts[label] for label in ranked}))
    return sorted(groups, key=lambda group: (-group.rows, group.kept))


def variant_key(label: str) -> str:
    """What the spellings of one label have in common."""
    plain = unicodedata.normalize("NFKC", _INVISIBLE.sub("", label))
    words = " ".join(plain.casefold().split())
    if _NUMBER.fullmatch(words):
        try:
            number = Decimal(words)
        except InvalidOperation:
            return words
        return f"{number.normalize():f}" if number else "0"
    return unicodedata.normalize("NFKC", words)


def same_numbers(labels: Collection[str]) -> dict[str, str]:
    """Label → the equal whole number, where both are among `labels`: `1.0` → `1`."""
    found = set(labels)
    return {
        label: whole_number(label)
        for label in found
        if whole_number(label) != label and whole_number(label) in found
    }


def is_list(label: str) -> bool:
    """Whether `label` is a list, a set or an object that was written as text: `['a', 'b']`, `[0, 1]`, `{"a": 1}`."""
    if len(label) > _LONGEST_LIST or label[:1] + label[-1:] not in ("[]", "{}", "()"):
        return False
    try:
        return isinstance(json.loads(label), list | dict)
    except (ValueError, RecursionError):
        pass
    if re.fullmatch(r"\[(?:'[^']*'\s*)+\]|\[(?:-?\d+(?:\.\d*)?\s*)+\]", label):
        return True  # an array of numpy
    try:
        return isinstance(ast.literal_eval(label), list | tuple | set | dict)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return False


def joined_labels(counts: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """Labels that consist of other labels, with those: `a|b` → (`a`, `b`), where `a` and `b` are labels, too."""
    found = {}
    for label in counts:
        for separator in _SEPARATORS:
            parts = tuple(part.strip() for part in label.split(separator))
            if len(parts) > 1 and all(part in counts for part in parts):
                found[label] = parts
                break
    return found


def kind_of_labels(labels: Collection[str]) -> LabelKind:
    """Whether all of `labels` are numbers (more than 20 different ones), all are dates, or neither."""
    if len(labels) > _MANY_NUMBERS and all(_NUMBER.fullmatch(label) for label in labels):
        return "numbers"
    return "dates" if labels and all(map(_is_date, labels)) else "words"


def _is_date(label: str) -> bool:
    if len(label) < len("2026-01-01") or not label[:4].isdecimal():
        return False
    try:
        datetime.datetime.fromisoformat(label)
    except ValueError:
        return False
    return True


def positions_of(truth: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """Each true label's position in `labels`."""
    position = {label: index for index, label in enumerate(labels)}
    return np.asarray([position[label] for label in truth], dtype=np.int64)
