"""One row of a source, and the columns to take it from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from training.data.config import DataConfig
from training.data.errors import ColumnNotFound

TEXT_NAMES = (
    "text", "content", "review", "review_text", "body", "message", "tweet", "sentence", "article", "comment",
)  # fmt: skip
JOINED_NAMES = (("title", "description"), ("headline", "description"), ("subject", "description"))
LABEL_NAMES = (
    "label",
    "labels",
    "label_text",
    "category",
    "class",
    "topic",
    "target",
    "sentiment",
    "intent",
    "tag",
)
JOIN = ". "


@dataclass(frozen=True, slots=True)
class Row:
    """One row as it was read, or the note that it could not be."""

    number: int
    """Position in the source, from 1, the header not counted."""
    text: str = ""
    label: str = ""
    unreadable: bool = False
    recoded: bool = False
    """Not UTF-8, and read as Latin-1 instead."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns hold the text and the label."""

    texts: tuple[str, ...]
    label: str

    def row(self, number: int, values: dict[str, Any]) -> Row:
        """The row of `values` (column → value)."""
        parts = [as_text(values.get(name)).strip() for name in self.texts]
        return Row(number, JOIN.join(part for part in parts if part), as_text(values.get(self.label)).strip())


def find_columns(names: Sequence[str], config: DataConfig) -> Columns:
    """The columns that `config` names, or those with a common name, whatever their case.

    Raises:
        ColumnNotFound: with the names that there are.
    """
    texts = config.text_columns or _common_text(names)
    label = config.label_column or _first(names, LABEL_NAMES)
    shown = ", ".join(repr(name[:40]) for name in names)
    hint = f"the columns of {config.source} are {shown}"
    if config.header and config.column_names is None:
        hint += " (set data.header=false if that is a row of data)"
    if not texts:
        raise ColumnNotFound(f"no column with a common name for the text; set data.text_column: {hint}")
    if label is None:
        raise ColumnNotFound(f"no column with a common name for the label; set data.label_column: {hint}")
    for name in (*texts, label):
        if name not in names:
            raise ColumnNotFound(f"there is no column {name!r}: {hint}")
    return Columns(tuple(texts), label)


def as_text(value: Any) -> str:
    """A value as text: None and NaN are empty, a whole number that pandas made a float is a whole number again."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _common_text(names: Sequence[str]) -> tuple[str, ...]:
    if (single := _first(names, TEXT_NAMES)) is not None:
        return (single,)
    for pair in JOINED_NAMES:
        found = [_first(names, (name,)) for name in pair]
        if all(found):
            return tuple(name for name in found if name)
    return ()


def _first(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    by_lower = {name.strip().lower(): name for name in reversed(names)}
    return next((by_lower[name] for name in wanted if name in by_lower), None)
