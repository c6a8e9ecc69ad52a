"""Names at the borders of the stores: labels, candidates, experiments and models as each of them can hold them.

Inside the project a name is kept as its owner wrote it. It is encoded where it leaves: in a metric's name, in a file's
name, in a cell of a Markdown table. Names that are part of an address, such as a registered model's, cannot be encoded
without being shown encoded everywhere, so they are checked and refused instead.

Usage::

    metric_parts(["C++", "Food & Drink"])   # {"C++": "C:2B:2B", "Food & Drink": "Food :26 Drink"}
    file_name("R&D")                        # "R=26D==d98fb4e1": the hash is there because of the capitals
    path_component("../up")                 # raises NameRefused
    check_model_name("a/b")                 # raises NameRefused
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from stores.errors import NameRefused

METRIC_ESCAPE, FILE_ESCAPE = ":", "="
"""What begins an escaped byte, two upper-case hexadecimal digits; doubled, it begins a hash that ends a name."""

METRIC_PART_LENGTH = 180
"""Characters of a label in a metric's name. MLflow keeps 250; the longest prefix with its suffix takes 26."""

FILE_NAME_BYTES = 120
"""Bytes of an encoded file name. File systems keep 255; callers add time stamps, hashes and suffixes."""

COMPONENT_BYTES = 255
"""Bytes of a file's name that file systems keep."""

MODEL_NAME_LENGTH = 200
"""Characters of a registered model's name. MLflow's database keeps 256; a smoke run adds a suffix."""

EXPERIMENT_NAME_LENGTH = 100
"""Characters of an experiment's name. MLflow's database keeps 250 for a run's name, which may add to it."""

LABEL_LENGTH = 256
"""Characters of a label that the prediction store keeps."""

TAG_LENGTH = 5000
"""Characters of a tag's value that every version of MLflow keeps."""

_HASH_DIGITS = 8
_BOUND = re.compile(r"_(?=(?:low|high)$)", re.IGNORECASE)
_NO_ADDRESS = '/\\:#?@"'
"""What MLflow refuses in a model's name, or what breaks the address `models:/NAME/VERSION` or a quoted filter."""


def metric_parts(labels: Iterable[str]) -> dict[str, str]:
    """Each label as a part of a metric's name, all different even in a database that ignores case.

    MLflow allows letters, digits, `_`, `-`, `.`, `:`, `/` and blanks. Everything else is escaped, `/` and `:` too, and
    the underscore before a final `low` or `high`, which would read as an interval's bound.
    """
    parts = {label: metric_part(label) for label in labels}
    folded = Counter(map(_folded, parts.values()))
    return {
        label: _with_hash(part, label, METRIC_ESCAPE, METRIC_PART_LENGTH)
        if folded[_folded(part)] > 1 and METRIC_ESCAPE * 2 not in part
        else part
        for label, part in parts.items()
    }


def metric_part(label: str) -> str:
    """One label as a part of a metric's name; `metric_parts` also distinguishes labels that differ by case."""
    bound = _BOUND.search(label)
    part = "".join(
        character
        if _stays_in_metric(character, place in (0, len(label) - 1))
        and not (bound and place == bound.start())
        else _escaped(character, METRIC_ESCAPE)
        for place, character in enumerate(label)
    )
    if len(part) > METRIC_PART_LENGTH:
        return _with_hash(part, label, METRIC_ESCAPE, METRIC_PART_LENGTH)
    return part


def file_name(name: str) -> str:
    """`name` as one file's or folder's name: no separator, no leading dot, at most FILE_NAME_BYTES bytes of UTF-8.

    Letters of every script, digits, `_`, `-` and `.` stay. Different names give different file names, also where the
    file system ignores case or normalises Unicode: names that it would change end in a hash.
    """
    encoded = "".join(
        character
        if _stays_in_file(character, place in (0, len(name) - 1))
        else _escaped(character, FILE_ESCAPE)
        for place, character in enumerate(name)
    )
    if name == _folded(name) and len(encoded.encode()) <= FILE_NAME_BYTES and encoded:
        return encoded
    return _with_hash(encoded, name, FILE_ESCAPE, FILE_NAME_BYTES)


def path_component(name: str) -> str:
    """`name`, if it is the name of one file or folder: joined to a folder, it stays in it.

    Names that users choose freely are encoded with `file_name` instead; this is for those that are known to be plain,
    such as versions, run ids and aliases that another process or a server says.

    Raises:
        NameRefused: it is empty, `.` or `..`, has a separator or a control character, or more bytes than a file system
            keeps.
    """
    if (
        name in ("", ".", "..")
        or any(character in "/\\" or unicodedata.category(character) in ("Cc", "Cs") for character in name)
        or len(name.encode()) > COMPONENT_BYTES
    ):
        raise NameRefused(f"{_shown(name)} is not the name of one file or folder")
    return name


def check_model_name(name: str) -> str:
    """`name`, if a model can be registered, found and downloaded under it.

    Raises:
        NameRefused: it cannot; says why.
    """
    fault = _fault(name, MODEL_NAME_LENGTH, _NO_ADDRESS)
    if fault:
        raise NameRefused(
            f"no model can be registered as {_shown(name)}: {fault}. Change MODEL_NAME or `model_name`"
        )
    return name


def check_alias(alias: str) -> str:
    """`alias`, if MLflow can keep it.

    Raises:
        NameRefused: it cannot; says why.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", alias):
        fault = "an alias has letters, digits, '_' and '-', and at most 64 of them"
    elif alias.lower() == "latest" or re.fullmatch(r"[vV]\d+", alias):
        fault = "MLflow reserves `latest` and `v` with a number"
    else:
        return alias
    raise NameRefused(f"MODEL_ALIAS cannot be {_shown(alias)}: {fault}")


def experiment_name_fault(name: str) -> str | None:
    """Why an experiment cannot be called `name`; None where it can."""
    fault = _fault(name, EXPERIMENT_NAME_LENGTH, "/\\")
    return f"an experiment cannot be called {_shown(name)}: {fault}" if fault else None


def check_labels(labels: Iterable[str]) -> None:
    """Raise NameRefused where the prediction store could not keep a label: before anything is trained with it."""
    for label in labels:
        if len(label) > LABEL_LENGTH:
            raise NameRefused(
                f"the label {_shown(label)} has {len(label)} characters, and at most {LABEL_LENGTH} can be kept: are "
                "the columns of texts and labels exchanged?"
            )
        if any(character == "\0" or unicodedata.category(character) == "Cs" for character in label):
            raise NameRefused(
                f"the label {_shown(label)} holds a NUL or a lone surrogate, which no store can keep"
            )


def tag_value(value: str) -> str:
    """`value`, cut to TAG_LENGTH characters."""
    return value if len(value) <= TAG_LENGTH else value[: TAG_LENGTH - 1] + "…"


def markdown_cell(text: str) -> str:
    """`text` for a cell of a Markdown table: on one line, with no end of the cell and no HTML in it."""
    return re.sub(r"([\\|<`])", r"\\\1", " ".join(text.split()))


def _fault(name: str, longest: int, forbidden: str) -> str | None:
    if not name.strip():
        return "it is empty"
    if found := [character for character in forbidden if character in name]:
        return f"{' '.join(found)} cannot be part of it"
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in name):
        return "it has a line break or another control character"
    if name != name.strip():
        return "it begins or ends with a blank"
    if name.startswith("."):
        return "it begins with a dot"
    if len(name) > longest:
        return f"it has {len(name)} characters, and at most {longest} can be kept"
    return None


def _shown(name: str) -> str:
    return repr(name if len(name) <= 60 else name[:59] + "…")


def _stays_in_metric(character: str, at_the_edge: bool) -> bool:
    # What MLflow's own expression calls a word character, blanks only inside.
    return bool(re.match(r"[\w.-]", character)) or (character == " " and not at_the_edge)


def _stays_in_file(character: str, at_the_edge: bool) -> bool:
    return bool(re.match(r"[\w-]", character)) or (character == "." and not at_the_edge)


def _escaped(character: str, escape: str) -> str:
    return "".join(f"{escape}{byte:02X}" for byte in character.encode("utf-8", "surrogatepass"))


def _folded(name: str) -> str:
    """What a file system or a database that ignores case, and normalises Unicode, takes for the same."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def _with_hash(encoded: str, name: str, escape: str, longest: int) -> str:
    """`encoded`, cut to what leaves room, and a hash of `name`; at most `longest` bytes of UTF-8."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    room = longest - 2 * len(escape) - _HASH_DIGITS
    kept = encoded.encode("utf-8")[:room].decode("utf-8", "ignore")
    # Not half an escaped byte.
    kept = re.sub(rf"{re.escape(escape)}[0-9A-F]?$", "", kept)
    return f"{kept}{escape * 2}{digest}"
