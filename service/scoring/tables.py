"""What a file format must offer to be scored: chunks to read, parts to write, and a way to put them together."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from service.scoring.errors import InputRefused

NO_TEXT = "no text"
NOT_A_STRING = "text is not a string"
NOT_UNICODE = "text is not valid Unicode"


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read a file."""

    text_column: str = "text"
    """The column to classify."""
    chunk_rows: int = 4096
    """Rows that are read, scored and made safe at a time."""
    chunk_characters: int = 4_000_000
    """A chunk ends early once its texts are this long together, so that long texts do not fill the memory."""
    encoding: str = "utf-8"
    """Of CSV, TSV and JSONL; what is written is UTF-8."""
    delimiter: str | None = None
    """Of CSV; None finds it in the header."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of the input, one after another."""

    rows: Any
    """The rows as their format keeps them."""
    texts: list[str | None]
    """What to classify; None where a row has nothing that can be."""
    problems: list[str | None]
    """Why a row's text is None."""
    end: int
    """Where the next chunk starts, as `Table.chunks` takes it."""
    position: int
    """How far into `Table.total` this chunk reaches."""


@dataclass(frozen=True, slots=True)
class NewColumn:
    """A column that scoring adds."""

    kind: type
    """str, float, int or bool."""
    values: list[Any]
    """One value a row; None where there is none."""


Columns = dict[str, NewColumn]
"""The columns that scoring adds, by name, in order."""


class Table(Protocol):
    """One input file, and the same rows with new columns as the output."""

    total: int
    """Size of the input in the unit of `Chunk.position`."""
    columns: Sequence[str]
    """Columns of the input, as far as the format knows them beforehand."""

    def chunks(self, start: int) -> Iterator[Chunk]:
        """The rows from `start` (0, or the `end` of a chunk). The same start gives the same chunks."""
        ...

    def write_part(self, path: Path, chunk: Chunk, added: Columns) -> None:
        """Write a chunk's rows with the added columns."""
        ...

    def assemble(self, parts: Sequence[Path], path: Path, added: Mapping[str, type]) -> None:
        """Write the whole output from its parts, in constant memory; `added` are the new columns and their kinds."""
        ...


def usable_text(value: object) -> tuple[str | None, str | None]:
    """A cell as a text to classify, or None and why not."""
    if value is None:
        return None, NO_TEXT
    if not isinstance(value, str):
        return None, NOT_A_STRING
    if not value.strip():
        return None, NO_TEXT
    try:
        # Bytes that were not valid came in as lone surrogates, which no tokenizer takes.
        value.encode("utf-8")
    except UnicodeEncodeError:
        return None, NOT_UNICODE
    return value, None


def check_text_column(columns: Sequence[str], wanted: str, source: Path) -> None:
    """Raise InputRefused unless `wanted` is there exactly once; names the columns that exist, and the nearest."""
    found = list(columns).count(wanted)
    if found == 1:
        return
    if found > 1:
        raise InputRefused(f"{source} has {found} columns called {wanted!r}: rename all but one")
    by_lower = {name.lower().strip(): name for name in columns}
    near = difflib.get_close_matches(wanted.lower(), by_lower, n=1, cutoff=0.5)
    hint = f" Did you mean --text-column {by_lower[near[0]]!r}?" if near else ""
    existing = ", ".join(repr(name) for name in columns) or "none at all"
    raise InputRefused(f"{source} has no column {wanted!r}; its columns are {existing}.{hint}")
