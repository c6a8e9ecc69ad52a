"""Assembling rows from lines: a row ends with its line unless a quoted field holds the line break.

A quote that is never closed, or is closed in the middle of another row, must not swallow the lines between. So a row
that needs further lines is looked at before it is taken (`RecordReader`), and given up where

- a closing quote is followed by text,
- no closing quote comes within MAX_ROW_BYTES and MAX_QUOTED_LINES, or
- under `auto`, every one of its lines is a row by itself (`Rhythm`).

Then its first line is a separate row, with a problem or with its quotes as characters, and reading continues on the
line behind it. Looking ahead costs as many bytes as reading: it ends at the next quote, so no byte is looked at by
more than two rows.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from stores.tabular.fields import FieldSplitter, State
from stores.tabular.limits import MAX_QUOTED_LINES, MAX_ROW_BYTES

_NUMBER = re.compile(r"\s*[-+]?\d+\s*")
_MOST_CATEGORIES = 200
_FEWEST_ROWS = 10
_ALMOST_ALL = 0.95
_LINES_WITHOUT_KEY = 8

UNCLOSED = "a quote is opened and not closed"
SWALLOWS = "a quoted field would swallow {} lines that are rows by themselves"
TEXT_AFTER_QUOTE = "text follows a closing quote"


class LineSource(Protocol):
    """Lines in order, decoded, of which those ahead can be looked at."""

    def peek(self, ahead: int) -> str | None:
        """The line so far ahead with its line end; None behind the last one."""
        ...


class Record(NamedTuple):
    """One row as it is in the file."""

    fields: list[str]
    lines: int
    """How many lines it takes."""
    problem: str | None = None
    literal: bool = False
    """Its quotes were taken as characters, since they quote nothing."""


@dataclass(frozen=True)
class Rhythm:
    """What the lines of a file look like that are rows by themselves."""

    width: int
    """Fields of a row."""
    numeric: frozenset[int] = frozenset()
    """Columns that hold whole numbers."""
    categories: tuple[tuple[int, frozenset[str]], ...] = ()
    """Columns with few different values, and these."""

    @classmethod
    def of(cls, rows: Sequence[Sequence[str]], width: int) -> Rhythm:
        """From rows that stand on one line each."""
        fitting = [row for row in rows if len(row) == width]
        if len(fitting) < _FEWEST_ROWS:
            return cls(width)
        numeric, categories = set(), []
        for column in range(width):
            values = [row[column].strip() for row in fitting]
            different = set(values)
            if sum(bool(_NUMBER.fullmatch(value)) for value in values) >= _ALMOST_ALL * len(values):
                numeric.add(column)
            elif len(different) <= min(_MOST_CATEGORIES, max(2, len(values) // 4)):
                categories.append((column, frozenset(different)))
        return cls(width, frozenset(numeric), tuple(categories))

    def fits(self, lines: Sequence[str], splitter: FieldSplitter) -> bool:
        """Whether each line is a row by itself, judged by its width and by what its columns hold."""
        if self.width < 2:
            return False
        rows = []
        for line in lines:
            row = splitter.plain(line.rstrip("\r\n"))
            if len(row) != self.width:
                return False
            rows.append([value.strip() for value in row])
        if any(all(_NUMBER.fullmatch(row[column]) for row in rows) for column in self.numeric):
            return True
        for column, known in self.categories:
            if sum(row[column] in known for row in rows) >= 0.9 * len(rows):
                return True
        has_key = bool(self.numeric or self.categories)
        return not has_key and len(rows) >= _LINES_WITHOUT_KEY


class RecordReader:
    """Takes one row after another from a source of lines.

    Args:
        splitter: delimiter and quoting.
        rhythm: None where quotes are trusted (`quote` was given): what a field spans is then never held against it.
        literal: whether a line with stray quotes that has the width of a row is read with its quotes as characters, as
            in files separated by tabs, instead of being refused.
    """

    def __init__(self, splitter: FieldSplitter, rhythm: Rhythm | None, *, literal: bool) -> None:
        self.splitter = splitter
        self.rhythm = rhythm
        self.literal = literal

    def record(self, text: str, source: LineSource, width: int | None) -> Record:
        """The row that begins with `text` (a line without its end); `source.peek(1)` is the line behind it.

        Args:
            text: the first line.
            source: where the lines behind it are.
            width: fields of a row; None where it is not known yet.
        """
        fields, state = self.splitter.split(text)
        if state is State.COMPLETE:
            return Record(fields, 1)
        if state is State.STRAY:
            return self._alone(text, TEXT_AFTER_QUOTE, width, on_one_line=True)
        lines, size = [text], len(text)
        while (line := source.peek(len(lines))) is not None:
            size += len(line)
            if size > MAX_ROW_BYTES or len(lines) >= MAX_QUOTED_LINES:
                break
            lines.append(line)
            state = self.splitter.state_after(line)
            if state is State.OPEN:
                continue
            if state is State.STRAY:
                return self._alone(text, TEXT_AFTER_QUOTE, width)
            if self.rhythm is not None and self.rhythm.fits(lines, self.splitter):
                return self._alone(text, SWALLOWS.format(len(lines) - 1), width)
            first, *middle, last = lines
            end = source.peek(0) or ""
            whole = first + end[len(end.rstrip("\r\n")) :] + "".join(middle) + last.rstrip("\r\n")
            return Record(self.splitter.split(whole)[0], len(lines))
        return self._alone(text, UNCLOSED, width)

    def _alone(self, text: str, problem: str, width: int | None, *, on_one_line: bool = False) -> Record:
        """The first line of a row that was given up."""
        fields = self.splitter.plain(text)
        fits = width is not None and len(fields) == width
        if self.rhythm is not None and fits and (self.literal or on_one_line):
            return Record(fields, 1, literal=True)
        return Record(fields, 1, problem)
