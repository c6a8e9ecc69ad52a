"""What every format offers: columns, rows in bounded chunks, an account of all lines, and positions to continue
from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from stores.tabular.limits import CHUNK_BYTES, CHUNK_ROWS

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class LineCounts:
    """What the lines of a file are: `lines = rows + refused + header + blank + continuation`.

    Lines are those of the file for delimited text and JSON lines, elements for a JSON array, and rows for Parquet.
    """

    lines: int = 0
    rows: int = 0
    """Rows that were read."""
    refused: int = 0
    """Rows that could not be read, each with its reason."""
    header: int = 0
    """The line of the column names, further lines of theirs, and a line `sep=;`."""
    blank: int = 0
    """Lines that are empty or hold nothing but delimiters."""
    continuation: int = 0
    """Further lines of a row whose quoted fields hold line breaks, or of an object over several lines."""

    def plus(self, **more: int) -> LineCounts:
        """These counts with some added."""
        return replace(self, **{name: getattr(self, name) + count for name, count in more.items()})

    @property
    def seen(self) -> int:
        """Rows that were met, read or refused: the number of the last one."""
        return self.rows + self.refused

    def __str__(self) -> str:
        names = ("rows", "refused", "header", "blank", "continuation")
        parts = [f"{getattr(self, name):,} {name}" for name in names if getattr(self, name) or name == "rows"]
        return f"{self.lines:,} lines: {', '.join(parts)}"


@dataclass(frozen=True, slots=True)
class Position:
    """A place between two rows, where reading can continue."""

    offset: int = 0
    """Bytes of the uncompressed text, or rows of a Parquet file, before it. 0: the beginning."""
    counts: LineCounts = field(default_factory=LineCounts)
    """What was read before it."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Position:
        """From what `as_dict` gave.

        Raises:
            TypeError, KeyError: it did not.
        """
        return cls(found["offset"], LineCounts(**found["counts"]))


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file, or the note that it could not be read."""

    number: int
    """Position among the rows from 1, header and blank lines not counted."""
    line: int
    """First line of it in the file, from 1."""
    values: dict[str, Any]
    """Column → value; keys as `unique_names` gives them. As far as they are known where the row has a problem."""
    problem: str | None = None
    """Why it cannot be read."""


@dataclass(slots=True)
class Chunk:
    """Rows that follow one another."""

    columns: Sequence[str]
    first: int
    """Number of the first row; the others have the numbers that follow."""
    rows: Any
    """As the format keeps them: lists of strings, dictionaries, or a table of pyarrow. A row with a problem is among
    them, with all of its content as far as that is bounded."""
    lines: Sequence[int]
    """First line of each row."""
    problems: list[str | None]
    """Why a row cannot be read; None where it can."""
    end: Position
    read: int
    """How far into `Table.total` this chunk reaches."""

    def __len__(self) -> int:
        return len(self.problems)

    def column(self, index: int) -> list[Any]:
        """The values of a column, by its position; text for text formats and for binary columns of Parquet."""
        return [row[index] for row in self.rows]


class Table(ABC):
    """A file that was opened and understood; it may be read several times.

    Raises of every method: TableDamaged, where the file breaks off or exceeds a bound that concerns it as a whole.
    """

    def __init__(self, path: Path, format_name: str, columns: Sequence[str], total: int) -> None:
        self.path = path
        self.format = format_name
        """`CSV`, `TSV`, `JSON lines`, `JSON` or `Parquet`."""
        self.columns = list(columns)
        """Names of the columns in order; several may be equal, and empty where the header has none."""
        self.total = total
        """Size in the unit of `Chunk.read`: bytes on the disk, rows for Parquet."""
        self.counts = LineCounts()
        """What the latest reading has passed so far; final when it has ended."""
        self.remarks: list[str] = []
        """Sentences about how the file is read that its user should know."""
        self._noted: dict[str, list[int]] = {}

    @abstractmethod
    def chunks(
        self,
        start: Position | None = None,
        *,
        needed: Sequence[int] = (),
        only_needed: bool = False,
        chunk_rows: int = CHUNK_ROWS,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> Iterator[Chunk]:
        """The rows from `start` on. The same arguments give the same chunks.

        Args:
            start: the beginning, or the `end` of a chunk.
            needed: positions of columns; a row is refused if one of them is not valid text.
            only_needed: whether the other columns need not be read, which saves much with Parquet.
            chunk_rows: rows of a chunk at most.
            chunk_bytes: a chunk ends at the row that reaches it.
        """

    def rows(self, needed: Sequence[int] = ()) -> Iterator[Row]:
        """All rows, one by one; the `values` hold all columns, or those of `needed`."""
        keys = unique_names(self.columns)
        wanted = list(needed) or list(range(len(keys)))
        names = [keys[index] for index in wanted]
        for chunk in self.chunks(needed=needed, only_needed=bool(needed)):
            values = (
                zip(*(chunk.column(index) for index in wanted), strict=True) if wanted else [()] * len(chunk)
            )
            for offset, (line, problem, cells) in enumerate(
                zip(chunk.lines, chunk.problems, values, strict=True)
            ):
                yield Row(chunk.first + offset, line, dict(zip(names, cells, strict=True)), problem)

    def notes(self) -> list[str]:
        """`remarks`, and what was noted of single rows while they were read, with the numbers of the first of them."""
        said = list(self.remarks)
        for what, numbers in self._noted.items():
            count = numbers[0]
            shown = ", ".join(map(str, numbers[1:])) + (", …" if count > _SHOWN else "")
            said.append(f"{what}: {count:,} {'row' if count == 1 else 'rows'} ({shown})")
        return said

    def _note(self, what: str, number: int) -> None:
        numbers = self._noted.setdefault(what, [0])
        numbers[0] += 1
        if len(numbers) <= _SHOWN:
            numbers.append(number)


def unique_names(names: Sequence[str]) -> list[str]:
    """Column names, where each repetition of a name gets its position: `label`, `label#3`."""
    taken = set(names)
    seen: set[str] = set()
    unique = []
    for position, name in enumerate(names, start=1):
        key = name
        if name in seen:
            key = f"{name}#{position}"
            while key in taken or key in seen:
                key += "#"
        seen.add(key)
        seen.add(name)
        unique.append(key)
    return unique
