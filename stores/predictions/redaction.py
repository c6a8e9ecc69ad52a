"""The stored form of a text (all, without personal data, a hash, or nothing), and how personal data is masked.

======== ============================== ======================================== ========
form     `text`                         `text_hash`                              features
======== ============================== ======================================== ========
full     the text                       SHA-256 of the text                      no
redacted the text with personal data    SHA-256 of what is stored                no
         masked
hash     `hmac-sha256:` and the keyed   the keyed hash                           yes
         hash
none     empty                          NULL                                     yes
======== ============================== ======================================== ========

The keyed hash is HMAC-SHA256 of the text's SHA-256 (in hexadecimal), so that a text can be found by its SHA-256, too.
A plain hash is kept only of what is stored anyway: short texts can be guessed from it.

Masking finds e-mail addresses, telephone, payment card and bank account numbers, in linear time::

    masked("Write to ann@example.org or call +44 20 7946 0958.")   # "Write to [email] or call [phone]."

Cards are checked with Luhn's algorithm (ISO/IEC 7812-1), account numbers with the length of their country and the
checksum of ISO 13616 (IBAN, modulo 97). Telephone numbers have no checksum: numbers in international form, with a trunk
zero, or in a usual grouping are masked. Names, addresses and dates are not detected.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Literal

from stores.predictions.records import Prediction
from stores.predictions.texts import keyed_hash, sha256_of_text, text_features

Span = tuple[int, int, str]

_LOCAL_LENGTH, _DOMAIN_LENGTH = 64, 255
"""Characters of an e-mail address's parts (RFC 5321)."""
_LOCAL = frozenset(".!#$%&'*+/=?^_`{|}~-")
_AT = re.compile(r"(?<=[\w.!#$%&'*+/=?^`{|}~-])[@＠](?=[\w\[])")
_CARD_DIGITS = range(13, 20)
_CARD_GROUP = 3
"""Digits that are written together, at least: card numbers are grouped by fours, or as 4, 6 and 5."""
_IBAN_START = re.compile(r"(?<![^\W_])[A-Za-z]{2}[ \-]?\d{2}")
_IBAN_LENGTH = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27, "BR": 29,
    "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28, "EE": 20, "EG": 29,
    "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28,
    "HN": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20,
    "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19,
    "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29,
    "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24,
    "SM": 27, "SO": 23, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20,
    "YE": 30,
}  # fmt: skip
"""Characters of an account number, by country (SWIFT's IBAN registry)."""
_SEPARATORS = " \u00a0\u2009\u202f\t\\-\u2010\u2011\u2012\u2013\u2014.·/"
_DIGIT_RUN = re.compile(rf"\d+(?:[{_SEPARATORS}]\d+)*")
_PHONE_RUN = re.compile(rf"[+＋(]{{0,3}}\d(?:[{_SEPARATORS}()]{{0,3}}\d)*")
_PHONE_DIGITS = range(7, 16)
"""Digits of a telephone number, country code included (ITU-T E.164 allows 15)."""
_GROUPED = re.compile(r"(?:1[^\d])?\(?\d{3}\)?[^\d]{1,2}\d{3}[^\d]\d{4}|\d{3}[-\u2010\u2011]\d{4}")
"""Groupings of North American numbers."""


def masked(text: str) -> str:
    """`text` with `[email]`, `[phone]`, `[card]` and `[iban]` in the place of what was found."""
    found = _without_overlaps([*_emails(text), *_ibans(text), *_cards(text), *_phones(text)])
    if not found:
        return text
    parts, end = [], 0
    for start, stop, kind in found:
        parts += [text[end:start], f"[{kind}]"]
        end = stop
    return "".join([*parts, text[end:]])


def _without_overlaps(spans: list[Span]) -> list[Span]:
    """The spans in order; of two that overlap, the one whose kind was looked for first."""
    taken: list[Span] = []
    order = {"email": 0, "iban": 1, "card": 2, "phone": 3}
    covered: dict[str, list[Span]] = {kind: [] for kind in order}
    for found in spans:
        covered[found[2]].append(found)
    for kind in order:
        merged: list[Span] = []
        mine = iter(sorted(covered[kind]))
        theirs = iter(taken)
        span, other = next(mine, None), next(theirs, None)
        while span is not None or other is not None:
            if span is None or (other is not None and other[1] <= span[0]):
                assert other is not None
                merged.append(other)
                other = next(theirs, None)
            elif other is None or span[1] <= other[0]:
                if not merged or merged[-1][1] <= span[0]:
                    merged.append(span)
                span = next(mine, None)
            else:  # they overlap
                span = next(mine, None)
        taken = merged
    return taken


def _emails(text: str) -> Iterator[Span]:
    end = 0
    for at in _AT.finditer(text):
        start = at.start()
        while start > max(end, at.start() - _LOCAL_LENGTH) and _in_local_part(text[start - 1]):
            start -= 1
        stop = at.end()
        limit = min(len(text), stop + _DOMAIN_LENGTH)
        while stop < limit and (
            text[stop].isalnum() or text[stop] in "-.．" or text[stop] == "[" == text[at.end()]
        ):
            stop += 1
        domain = text[at.end() : stop].rstrip("-.．")
        name, _, top = domain.replace("．", ".").rpartition(".")
        if start < at.start() and name.strip(".-") and len(top) >= 2 and any(map(str.isalpha, top)):
            end = at.end() + len(domain)
            yield start, end, "email"


def _in_local_part(character: str) -> bool:
    return character.isalnum() or character in _LOCAL


def _ibans(text: str) -> Iterator[Span]:
    for match in _IBAN_START.finditer(text):
        wanted = _IBAN_LENGTH.get(match.group()[:2].upper())
        if wanted is None:
            continue
        kept: list[str] = []
        stop = match.start()
        separated = False
        while stop < len(text) and len(kept) < wanted:
            character = text[stop]
            if character.isascii() and character.isalnum():
                kept.append(character.upper())
                separated = False
            elif character in " -\u00a0\u202f" and not separated:
                separated = True
            else:
                break
            stop += 1
        ends = stop == len(text) or not (text[stop].isascii() and text[stop].isalnum())
        if len(kept) == wanted and ends and _is_iban("".join(kept)):
            yield match.start(), stop, "iban"


def _is_iban(number: str) -> bool:
    digits = "".join(str(int(character, 36)) for character in number[4:] + number[:4])
    return int(digits) % 97 == 1


def _cards(text: str) -> Iterator[Span]:
    for run in _DIGIT_RUN.finditer(text):
        if len(run.group()) < _CARD_DIGITS.start:
            continue
        number = run.group()
        groups = [match.span() for match in re.finditer(r"\d+", number)]
        first = 0
        while first < len(groups):
            last = _card_from(number, groups, first)
            if last is None:
                first += 1
                continue
            yield run.start() + groups[first][0], run.start() + groups[last][1], "card"
            first = last + 1


def _card_from(run: str, groups: list[tuple[int, int]], first: int) -> int | None:
    """The last group of a card number that begins with group `first`; None: none begins there."""
    digits, found = "", None
    for place in range(first, len(groups)):
        start, stop = groups[place]
        if len(digits) + stop - start >= _CARD_DIGITS.stop or stop - start < _CARD_GROUP:
            break
        digits += run[start:stop]
        if len(digits) in _CARD_DIGITS and _is_card(digits):
            found = place
    return found


def _is_card(digits: str) -> bool:
    values = [unicodedata.decimal(character) for character in digits]
    doubled = [sum(divmod(2 * value, 10)) for value in values[-2::-2]]
    return values[0] in (2, 3, 4, 5, 6) and (sum(values[-1::-2]) + sum(doubled)) % 10 == 0


def _phones(text: str) -> Iterator[Span]:
    for run in _PHONE_RUN.finditer(text):
        start, number = run.start(), run.group()
        before = text[start - 1] if start else " "
        after = text[run.end()] if run.end() < len(text) else " "
        if before.isalnum() or after.isalnum() or before in "_#$€£" or after in "_%":
            continue
        if number.startswith("(") and number.count("(") > number.count(")"):
            start, number = start + 1, number[1:]
        if _is_phone(number):
            yield start, run.end(), "phone"


def _is_phone(number: str) -> bool:
    digits = [character for character in number if character.isdecimal()]
    if len(digits) not in _PHONE_DIGITS:
        return False
    plain = "".join(str(unicodedata.decimal(character)) for character in digits)
    if number.lstrip("(")[:1] in ("+", "＋") or (plain.startswith("00") and len(plain) >= 9):
        return True
    if plain.startswith("0"):  # a trunk zero; not a decimal fraction
        return len(plain) in range(9, 13) and not re.match(r"\(?0[.]", number)
    if len(plain) == len(number) == 10:
        return plain[0] != "1"  # seconds since 1970 begin with 1
    return _GROUPED.fullmatch(number) is not None


Form = Literal["full", "redacted", "hash", "none"]
KEYED_PREFIX = "hmac-sha256:"


class TextForm:
    """Turns predictions into what is kept of them.

    Args:
        form: STORE_TEXT.
        key: of the keyed hash; called when the first text is hashed.
    """

    def __init__(self, form: Form, key: Callable[[], str]) -> None:
        self.form: Form = form
        self._key = key

    def apply(self, prediction: Prediction) -> Prediction:
        """`prediction` as it is kept.

        Raises:
            PredictionStoreError: the key is kept by the store, which cannot be read.
        """
        text = prediction.text
        if self.form == "full":
            return replace(prediction, text_form="full", text_hash=sha256_of_text(text))
        if self.form == "redacted":
            text = masked(text)
            return replace(prediction, text=text, text_form="redacted", text_hash=sha256_of_text(text))
        keyed = keyed_hash(sha256_of_text(text), self._key()) if self.form == "hash" else None
        return replace(
            prediction,
            text=f"{KEYED_PREFIX}{keyed}" if keyed else "",
            text_form=self.form,
            text_hash=keyed,
            redacted_at=prediction.created_at,
            features=text_features(text),
        )


def is_stored(prediction: Prediction) -> bool:
    """Whether the text itself, perhaps with personal data masked, is in the row."""
    return prediction.text_form not in ("hash", "none")
