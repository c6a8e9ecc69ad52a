"""Rows of a source, and the columns of text and label."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from stores.tabular import unique_names
from training.config.data import DataConfig
from training.data.labels import as_text, shown
from training.errors import ColumnAmbiguous, ColumnNotFound, NotOneValue

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
ID_NAMES = (
    "id", "_id", "uuid", "ticket_id", "message_id", "tweet_id", "text_id", "document_id", "doc_id", "case_id",
    "record_id", "row_id", "review_id", "article_id", "comment_id", "idx",
)  # fmt: skip
JOIN = ". "
_LONGEST_ID = 200


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
    problem: str = ""
    """Why it is unreadable."""
    id: str = ""
    """What the source calls the row; empty where it has no column for it."""
    columns: Columns | None = None
    """The columns that it was taken from; None for a packaged source."""
    original: str | None = None
    """The text before `data.clean` took something out of it; None where nothing was."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns hold the text, the label and, if there is one, the identifier."""

    texts: tuple[str, ...]
    label: str
    id: str | None = None
    source: str = ""
    encoding: str = "utf-8"
    other_texts: tuple[str, ...] = ()
    """Further columns with a common name for the text, where the text column was found and not given."""
    other_labels: tuple[str, ...] = ()
    """The same for the label."""

    @property
    def needed(self) -> list[str]:
        """Every column to read, each once."""
        return list(dict.fromkeys((*self.texts, self.label, *([self.id] if self.id else []))))

    def row(self, number: int, values: dict[str, Any]) -> Row:
        """The row of `values` (column → value).

        Raises:
            NotOneValue: the text or the label is a list or an object.
        """
        try:
            parts = [self._text(number, name, values.get(name), "text").strip() for name in self.texts]
            label = self._text(number, self.label, values.get(self.label), "label").strip()
        except UnicodeDecodeError:  # bytes of a Parquet column
            return Row(number, unreadable=True, columns=self)
        text = JOIN.join(part for part in parts if part)
        return Row(number, text, label, id=self._id(values), columns=self)

    def _text(self, number: int, column: str, value: Any, role: str) -> str:
        try:
            return as_text(value, self.encoding)
        except NotOneValue:
            several = isinstance(value, list | tuple | set) or hasattr(value, "shape")
            kind = "a list" if several else "an object" if isinstance(value, dict) else type(value).__name__
            advice = (
                "make a column that holds one label per text (for several labels per text, the main one), and name it "
                "with data.label_column"
                if role == "label"
                else "make a column that holds the text alone, and name it with data.text_column"
            )
            raise NotOneValue(
                value,
                f"{self.source}, row {number}: the {role} in column {column!r} is {kind}, {shown(value)}; one "
                f"{role} per row is needed: {advice}",
                row=number,
                column=column,
            ) from None

    def _id(self, values: dict[str, Any]) -> str:
        if self.id is None:
            return ""
        try:
            return as_text(values.get(self.id), self.encoding).strip()[:_LONGEST_ID]
        except (NotOneValue, UnicodeDecodeError):  # it only helps to find the row again
            return ""


def find_columns(names: Sequence[str], config: DataConfig) -> Columns:
    """The columns that `config` names, or those with a common name, whatever their case.

    A column may also be given by its position, as `#3` for the third. What is returned are the keys of
    `unique_names(names)`.

    Raises:
        ColumnNotFound: with the names that there are.
        ColumnAmbiguous: two columns have the name that is needed.
    """
    found = _Names(names, config)
    given_texts = [found.given(name, "text_column") for name in config.text_columns or ()]
    given_label = None if config.label_column is None else found.given(config.label_column, "label_column")
    texts = given_texts or found.common_text(taken={given_label})
    if not texts:
        raise ColumnNotFound(f"no column with a common name for the text; set data.text_column: {found.hint}")
    label = found.common(LABEL_NAMES, "label_column", taken=texts) if given_label is None else given_label
    if label is None:
        raise ColumnNotFound(
            f"no column with a common name for the label; set data.label_column: {found.hint}"
        )
    taken = {*texts, label}
    if config.id_column is not None:
        row_id: int | None = found.given(config.id_column, "id_column")
    else:
        row_id = next(iter(found.all_common(ID_NAMES, taken)), None)
    keys = unique_names(names)
    return Columns(
        tuple(keys[position] for position in texts),
        keys[label],
        None if row_id is None else keys[row_id],
        source=config.source,
        encoding=config.encoding,
        other_texts=()
        if given_texts
        else tuple(keys[position] for position in found.all_common(TEXT_NAMES, taken)),
        other_labels=()
        if given_label is not None
        else tuple(keys[position] for position in found.all_common(LABEL_NAMES, taken)),
    )


class _Names:
    """The names of a source's columns, looked up by what a configuration or a habit calls them."""

    def __init__(self, names: Sequence[str], config: DataConfig) -> None:
        self.names = list(names)
        self.source = config.source
        named = ", ".join(repr(name[:40]) for name in names if name)
        unnamed = sum(not name for name in names)
        self.hint = f"the columns of {config.source} are {named}"
        if unnamed:
            self.hint += f" and {unnamed} without a name"
        if config.header and config.column_names is None:
            self.hint += " (set data.header=false if that is a row of data)"

    def given(self, name: str, key: str) -> int:
        """Position, from 0, of the column that `data.{key}` names."""
        if name in self.names:
            return self._only(name, key)
        if name.startswith("#") and name[1:].isdecimal() and 1 <= int(name[1:]) <= len(self.names):
            return int(name[1:]) - 1
        raise ColumnNotFound(f"there is no column {name!r}: {self.hint}")

    def common(self, wanted: Sequence[str], key: str, taken: Collection[int | None] = ()) -> int | None:
        """The first column with one of the names `wanted`, those that come first preferred."""
        found = next(iter(self.all_common(wanted, taken)), None)
        return None if found is None else self._only(self.names[found], key)

    def all_common(self, wanted: Sequence[str], taken: Collection[int | None] = ()) -> list[int]:
        """Every column with one of the names `wanted`, in the order of `wanted`."""
        lower = [name.strip().lower() for name in self.names]
        return [
            position
            for name in wanted
            for position, other in enumerate(lower)
            if other == name and position not in taken
        ]

    def common_text(self, taken: Collection[int | None]) -> list[int]:
        """The column of the text, or the two that are joined; empty where there is none."""
        if (single := self.common(TEXT_NAMES, "text_column", taken)) is not None:
            return [single]
        for pair in JOINED_NAMES:
            found = [self.common((name,), "text_column", taken) for name in pair]
            positions = [position for position in found if position is not None]
            if len(positions) == len(pair):
                return positions
        return []

    def _only(self, name: str, key: str) -> int:
        places = [position for position, other in enumerate(self.names, start=1) if other == name]
        if len(places) > 1:
            raise ColumnAmbiguous(
                f"{self.source} has {len(places)} columns called {name!r}, at positions "
                f"{', '.join(map(str, places))}: choose one by its position, such as data.{key}='#{places[0]}', "
                "or rename one"
            )
        return places[0] - 1
