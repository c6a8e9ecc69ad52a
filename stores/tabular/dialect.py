"""Delimiter and quoting of a delimited file, found from its first lines."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from stores.tabular.fields import QUOTE, FieldSplitter, State
from stores.tabular.options import TableOptions
from stores.tabular.records import UNCLOSED, Record, RecordReader, Rhythm

_DELIMITERS = (",", "\t", ";", "|")
_LINES_FOR_DELIMITER = 200
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_LITERAL_SHARE = 0.02
_SHOWN = 5


@dataclass(frozen=True)
class Dialect:
    """How the rows of a file are written."""

    delimiter: str
    quote: str
    """`double`, `backslash` or `none`."""
    separator_lines: int = 0
    """1 where the first line is `sep=;`."""
    trusts_quotes: bool = False
    """Whether `quote` was given."""
    rhythm: Rhythm = field(default_factory=lambda: Rhythm(0))
    remarks: tuple[str, ...] = ()

    def reader(self) -> RecordReader:
        """What assembles rows by this dialect."""
        rhythm = None if self.trusts_quotes else self.rhythm
        return RecordReader(FieldSplitter(self.delimiter, self.quote), rhythm, literal=self.delimiter == "\t")


class Sample:
    """The first lines of a file, as a `LineSource`."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines
        self.at = 0

    def peek(self, ahead: int) -> str | None:
        """The line so far ahead of the current one."""
        place = self.at + ahead
        return self.lines[place] if place < len(self.lines) else None

    def records(self, reader: RecordReader, width: int | None) -> list[tuple[int, Record]]:
        """Rows with the index of their first line, without blank lines."""
        found = []
        self.at = 0
        while (line := self.peek(0)) is not None:
            text = line.rstrip("\r\n")
            record = reader.record(text, self, width) if text else Record([], 1)
            if text:
                found.append((self.at, record))
            self.at += record.lines
        return found


def find_dialect(lines: Sequence[str], options: TableOptions, usual: str, *, whole: bool) -> Dialect:
    """The dialect of a file that begins with `lines`.

    Args:
        lines: with their line ends.
        options: what is given is taken.
        usual: the delimiter of the file's suffix.
        whole: whether these are all lines of the file.
    """
    separator = _SEPARATOR_LINE.fullmatch(lines[0].strip()) if lines else None
    body = lines[1 if separator else 0 :]
    delimiter = options.delimiter or (separator[1] if separator else None)
    delimiter = delimiter or find_delimiter(body, usual, options.quote)
    first = 1 if separator else 0
    if options.quote != "auto":
        return Dialect(delimiter, options.quote, first, trusts_quotes=True)
    if not any(QUOTE in line for line in body):
        width, rows = _rows_of_one_line(body, FieldSplitter(delimiter, "none"))
        return Dialect(delimiter, "double", first, rhythm=Rhythm.of(rows[1:], width))
    return _find_quoting(body, delimiter, first, whole=whole)


def find_delimiter(lines: Sequence[str], usual: str, quote: str = "auto") -> str:
    """The delimiter that gives most of the lines as many fields as the first one, and at least two."""
    looked_at = [text for line in lines[:_LINES_FOR_DELIMITER] if (text := line.rstrip("\r\n"))]
    scores: dict[str, tuple[float, int]] = {}
    for delimiter in _DELIMITERS:
        splitter = FieldSplitter(delimiter, "none" if quote == "none" else "double")
        widths = [len(_leniently(splitter, line)) for line in looked_at]
        if widths and widths[0] >= 2:
            scores[delimiter] = (sum(width == widths[0] for width in widths) / len(widths), widths[0])
    if not scores:
        return usual
    best = max(scores, key=lambda delimiter: (*scores[delimiter], delimiter == usual))
    if usual in scores and scores[usual][0] >= 0.8 * scores[best][0]:
        return usual
    return best


def common_width(rows: Sequence[Sequence[str]]) -> int:
    """The number of fields that most rows have; 0 where there are none."""
    return Counter(map(len, rows)).most_common(1)[0][0] if rows else 0


def _find_quoting(lines: Sequence[str], delimiter: str, separator_lines: int, *, whole: bool) -> Dialect:
    double = _read(lines, delimiter, "double", whole=whole)
    if not double.faults:
        return Dialect(delimiter, "double", separator_lines, rhythm=double.rhythm)
    if any('\\"' in line for line in lines):
        backslash = _read(lines, delimiter, "backslash", whole=whole)
        if len(backslash.faults) + backslash.misfits < len(double.faults) + double.misfits:
            remark = 'quotes inside fields are read as \\"'
            return Dialect(
                delimiter, "backslash", separator_lines, rhythm=backslash.rhythm, remarks=(remark,)
            )
    splitter = FieldSplitter(delimiter, "none")
    widths = [len(splitter.plain(text)) for line in lines if (text := line.rstrip("\r\n"))]
    width = widths[0]
    most_quoting = _LITERAL_SHARE * len(widths) if delimiter == "\t" else 0
    fitting = sum(each == width for each in widths)
    if width >= 2 and fitting >= (1 - _LITERAL_SHARE) * len(widths) and double.quoting <= most_quoting:
        numbers = [index + 1 + separator_lines for index in double.faults]
        shown = ", ".join(map(str, numbers[:_SHOWN])) + (", …" if len(numbers) > _SHOWN else "")
        remark = f"quotes are read as characters: they quote no field as a whole (line {shown})"
        return Dialect(delimiter, "none", separator_lines, remarks=(remark,))
    return Dialect(delimiter, "double", separator_lines, rhythm=double.rhythm)


@dataclass(frozen=True)
class _Reading:
    rhythm: Rhythm
    faults: list[int]
    """First lines of rows whose quotes are broken."""
    misfits: int
    """Rows of another width than the first."""
    quoting: int
    """Rows with a field that is quoted as a whole."""


def _read(lines: Sequence[str], delimiter: str, quote: str, *, whole: bool) -> _Reading:
    splitter = FieldSplitter(delimiter, quote)
    width, rows = _rows_of_one_line(lines, splitter)
    rhythm = Rhythm.of(rows[1:], width)
    sample = Sample(lines)
    records = sample.records(RecordReader(splitter, rhythm, literal=False), width)
    faults, quoting, misfits = [], 0, 0
    for index, record in records:
        if record.problem == UNCLOSED and not whole:
            continue  # the end of the sample may cut it off
        if record.problem is not None or record.literal:
            faults.append(index)
        elif QUOTE in lines[index] and _quotes_a_field(lines[index], delimiter):
            quoting += 1
        misfits += record.problem is None and len(record.fields) != width
    return _Reading(rhythm, faults, misfits, quoting)


def _rows_of_one_line(lines: Sequence[str], splitter: FieldSplitter) -> tuple[int, list[list[str]]]:
    rows = []
    for line in lines:
        fields, state = splitter.split(line.rstrip("\r\n")) if line.strip("\r\n") else ([], State.OPEN)
        if state is State.COMPLETE:
            rows.append(fields)
    return (len(rows[0]) if rows else 0), rows


def _quotes_a_field(line: str, delimiter: str) -> bool:
    """Whether a quote stands at the beginning of a field."""
    return (
        line.lstrip(" ").startswith(QUOTE) or re.search(f"{re.escape(delimiter)} *{QUOTE}", line) is not None
    )


def _leniently(splitter: FieldSplitter, line: str) -> list[str]:
    fields, state = splitter.split(line)
    return fields if state is State.COMPLETE else splitter.plain(line)
