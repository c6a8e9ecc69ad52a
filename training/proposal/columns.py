"""Which columns of a table hold the text and the label: by their names, otherwise by their content."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import mean
from typing import Any

from stores.tabular import Table, unique_names
from training.data.rows import JOINED_NAMES, LABEL_NAMES, TEXT_NAMES
from training.errors import ColumnNotFound

_ROWS = 2_000
"""Rows that are looked at."""
_CELL = 2_000
"""Characters of a value that are looked at."""
_TEXT_LENGTH = 12
"""Mean characters from which a column can be a text."""
_TEXT_DISTINCT = 0.3
"""Share of different values from which a column can be a text."""
_CLEARLY_LONGER = 2.0
"""How many times as long as the next column the text must be to be chosen."""
_LABEL_LENGTH = 60
_MOST_CLASSES = 300
_ROWS_A_CLASS = 2
"""Rows that a class must have on average for its column to be a label."""
_MOST_NUMBERS = 20
_LONGEST_NAME = 60
_SHOWN = 4
_NUMBER = re.compile(r"\s*[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?\s*")
_NOT_FREE_TEXT = re.compile(
    r"\s*(https?://\S+|\d{1,4}[-./]\d{1,2}[-./]\d{1,4}([T ].*)?|[A-Z][a-z]{2} [A-Z][a-z]{2} \d+ .*"
    r"|[0-9a-f-]{16,}|\S+@\S+)\s*"
)
"""Addresses, dates and identifiers."""


@dataclass(frozen=True)
class ColumnContent:
    """Content of one column."""

    name: str
    values: int
    """Values that are not empty."""
    different: int
    length: float
    """Mean characters of a value."""
    numbers: float
    """Share of the values that are numbers."""
    formatted: float
    """Share of the values that are dates, addresses or identifiers."""
    frequent: tuple[str, ...]
    """The most frequent values."""
    share: float
    """Share of the rows that have a value."""

    @property
    def can_be_text(self) -> bool:
        """Whether it holds free text."""
        return (
            self.values > 0
            and self.length >= _TEXT_LENGTH
            and self.different >= _TEXT_DISTINCT * self.values
            and max(self.numbers, self.formatted) < 0.5
        )

    @property
    def can_be_label(self) -> bool:
        """Whether it holds few, short values that repeat."""
        return (
            2 <= self.different <= _MOST_CLASSES
            and self.values >= _ROWS_A_CLASS * self.different
            and self.length <= _LABEL_LENGTH
            and self.formatted < 0.5
            and self.share >= 0.5
            and not (self.numbers > 0.9 and self.different > _MOST_NUMBERS)
        )

    def __str__(self) -> str:
        shown = ", ".join(repr(value[:30]) for value in self.frequent[:_SHOWN])
        more = ", …" if self.different > _SHOWN else ""
        return f"{self.name!r} ({self.different:,} different values: {shown}{more})"


@dataclass(frozen=True)
class ChosenColumns:
    """The columns of the text and the label."""

    texts: tuple[str, ...]
    label: str
    reason: str
    """How they were found: `as given`, `by name` or `by content`."""
    other_labels: tuple[str, ...] = ()
    """Further columns with a common name for the label, where the label was not given."""


def choose_columns(
    table: Table, texts: Sequence[str] = (), label: str | None = None, *, header: bool = True
) -> ChosenColumns:
    """The columns of `table` to learn from.

    Args:
        table: the file.
        texts: columns of the text, where they are known.
        label: the column of the label, where it is known.
        header: whether the names come from the file.

    Raises:
        ColumnNotFound: there is no such column, or it is ambiguous; names the possible ones.
    """
    names = setting_names(table.columns)
    for given in (*texts, *([label] if label is not None else [])):
        if given not in names:
            raise ColumnNotFound(
                f"there is no column {given!r}: the columns of {table.path} are {_quoted(names)}"
            )
    if header and any(len(name) > _LONGEST_NAME for name in names):
        raise ColumnNotFound(
            f"the first row of {table.path} looks like data, not like column names ({_quoted(names)}): "
            "say --no-header if it is"
        )
    chosen_texts = tuple(texts) or _common_texts(names, label)
    chosen_label = label or _first(names, LABEL_NAMES, chosen_texts)
    if chosen_texts and chosen_label:
        given_both = bool(texts) and label is not None
        others = [name for name in names if name.strip().lower() in LABEL_NAMES and name not in chosen_texts]
        return ChosenColumns(
            chosen_texts,
            chosen_label,
            "as given" if given_both else "by name",
            () if label is not None else tuple(name for name in others if name != chosen_label),
        )
    contents = column_contents(table)
    if not chosen_texts:
        chosen_texts = (_text_by_content(contents, chosen_label, table),)
    if chosen_label is None:
        chosen_label = _label_by_content(contents, chosen_texts, table)
    return ChosenColumns(chosen_texts, chosen_label, "by content")


def column_contents(table: Table) -> list[ColumnContent]:
    """Content of each column, over the first rows."""
    names = dict(zip(unique_names(table.columns), setting_names(table.columns), strict=True))
    cells: dict[str, list[str]] = {name: [] for name in names.values()}
    rows = 0
    for row in islice(table.rows(), _ROWS):
        if row.problem is not None:
            continue
        rows += 1
        for key, name in names.items():
            if value := _as_text(row.values.get(key)):
                cells[name].append(value)
    return [_content(name, values, rows) for name, values in cells.items()]


def setting_names(columns: Sequence[str]) -> list[str]:
    """What `data.text_column` calls each column: its name, or `#3` where the name is empty or not the only one."""
    return [
        name if name and list(columns).count(name) == 1 else f"#{position}"
        for position, name in enumerate(columns, start=1)
    ]


def other_texts(contents: Sequence[ColumnContent], chosen: ChosenColumns) -> list[str]:
    """The columns of the text and all further ones with free text, in the file's order; empty where there are none."""
    found = [
        content.name
        for content in contents
        if content.name in chosen.texts or (content.can_be_text and content.name != chosen.label)
    ]
    return found if len(found) > len(chosen.texts) else []


def _content(name: str, values: Sequence[str], rows: int) -> ColumnContent:
    counts = Counter(values)
    total = max(1, len(values))
    return ColumnContent(
        name=name,
        values=len(values),
        different=len(counts),
        length=mean(map(len, values)) if values else 0.0,
        numbers=sum(bool(_NUMBER.fullmatch(value)) for value in values) / total,
        formatted=sum(bool(_NOT_FREE_TEXT.fullmatch(value)) for value in values) / total,
        frequent=tuple(value for value, _ in counts.most_common(_SHOWN)),
        share=len(values) / max(1, rows),
    )


def _as_text(value: Any) -> str:
    if value is None or value != value:
        return ""
    return str(value)[:_CELL].strip()


def _text_by_content(contents: Sequence[ColumnContent], label: str | None, table: Table) -> str:
    found = sorted(
        (item for item in contents if item.can_be_text and item.name != label), key=lambda item: -item.length
    )
    if not found:
        raise ColumnNotFound(
            f"no column of {table.path} looks like a text: name it with --text-column. There are: "
            + ", ".join(map(str, contents))
        )
    if len(found) > 1 and found[0].length < _CLEARLY_LONGER * found[1].length:
        raise ColumnNotFound(
            f"{len(found)} columns of {table.path} could be the text: {_quoted([item.name for item in found])}. Name "
            "it with --text-column; given several times, the columns are joined"
        )
    return found[0].name


def _label_by_content(contents: Sequence[ColumnContent], texts: Sequence[str], table: Table) -> str:
    left = [item for item in contents if item.name not in texts]
    found = [item for item in left if item.can_be_label]
    # Where words and numbers could both be classes, numbers are more often counts and marks.
    words = [item for item in found if item.numbers < 0.5]
    found = words or found
    if len(found) == 1:
        return found[0].name
    if found:
        raise ColumnNotFound(
            f"{len(found)} columns of {table.path} could be the label: {'; '.join(map(str, found))}. Say which with "
            "--label-column"
        )
    raise ColumnNotFound(
        f"no column of {table.path} looks like a label, which has few values that repeat: name it with "
        f"--label-column. There are: {'; '.join(map(str, left)) or 'no further columns'}"
    )


def _common_texts(names: Sequence[str], label: str | None) -> tuple[str, ...]:
    if single := _first(names, TEXT_NAMES, (label,)):
        return (single,)
    for pair in JOINED_NAMES:
        found = [_first(names, (name,), (label,)) for name in pair]
        if all(found):
            return tuple(name for name in found if name)
    return ()


def _first(names: Sequence[str], wanted: Sequence[str], taken: Sequence[str | None]) -> str | None:
    by_lower = {name.strip().lower(): name for name in reversed(names) if name not in taken}
    return next((by_lower[name] for name in wanted if name in by_lower), None)


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(repr(name[:40]) for name in names)
