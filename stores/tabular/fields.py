"""Cutting one row of delimited text into fields: the rules of quoting.

A field that begins with a quote (blanks before it are allowed on a single line) ends at the next quote that is not
doubled, and only a delimiter or the end of the row may follow (RFC 4180). Elsewhere a quote is a character.
"""

from __future__ import annotations

import csv
import re
from enum import Enum

QUOTE = '"'


class State(Enum):
    """What a text is at its end."""

    COMPLETE = "complete"
    OPEN = "open"
    """Inside a quoted field."""
    STRAY = "stray"
    """Something other than a delimiter follows a closing quote."""


class FieldSplitter:
    """Splits rows with one delimiter and one rule of quoting.

    Args:
        delimiter: one character. quote: `double`, `backslash` (which also takes `\\\\"`, `\\\\\\\\` and a backslash
        before the delimiter), or `none`.
    """

    def __init__(self, delimiter: str, quote: str) -> None:
        self.delimiter = delimiter
        self.quote = quote
        # Gives the row that waits, and raises IndexError when it asks for more.
        self._waiting: list[str] = []
        self._csv = csv.reader(iter(self._waiting.pop, None), delimiter=delimiter, strict=True)
        self._blanks = f"{delimiter}  "
        self._blank_quote = f'{delimiter} "'
        mark = re.escape(delimiter)
        blanks = "" if delimiter == " " else " *"
        inside = r'[^"]*(?:""[^"]*)*'
        if quote == "backslash":
            inside = r'[^"\\]*(?:(?:\\(?:.|\Z)|"")[^"\\]*)*'
        self._inside = re.compile(inside, re.DOTALL)
        self._quoted = re.compile(rf'({blanks})"({inside})"{blanks}(?:({mark})|\Z)', re.DOTALL)
        self._after = re.compile(rf'"{blanks}(?:({mark})|\Z)')
        self._plain = re.compile(rf"[^\\{mark}]*(?:\\(?:.|\Z)[^\\{mark}]*)*", re.DOTALL)
        self._escaped = re.compile(rf'\\(["\\{mark}])' + '|""')
        self._escaped_plain = re.compile(rf'\\(["\\{mark}])')

    def plain(self, text: str) -> list[str]:
        """The fields where quotes are characters."""
        return text.split(self.delimiter)

    def quick(self, text: str) -> list[str] | None:
        """The fields of a row with quotes, cut by the csv module; None where something is unusual about it."""
        if (
            self.quote != "double"
            or self._blank_quote in text
            or self._blanks in text
            or text.startswith(" ")
        ):
            return None
        self._waiting.append(text)
        try:
            return next(self._csv)
        except (csv.Error, IndexError):  # stray quotes; a field that is not closed
            return None

    def split(self, text: str) -> tuple[list[str], State]:
        """The fields of a row without its line end; where the state is not COMPLETE, only those before the fault."""
        if self.quote == "none":
            return self.plain(text), State.COMPLETE
        if (quick := self.quick(text)) is not None:
            return quick, State.COMPLETE
        escapes = self.quote == "backslash"
        fields: list[str] = []
        position, delimiter = 0, self.delimiter
        while True:
            if match := self._quoted.match(text, position):
                fields.append(self._unquoted(match[2]))
                if match[3] is None:
                    return fields, State.COMPLETE
                position = match.end()
                continue
            if text.startswith(QUOTE, position):
                end = self._inside.match(text, position + 1).end()  # type: ignore[union-attr]
                return fields, State.OPEN if end == len(text) else State.STRAY
            end = self._plain.match(text, position).end() if escapes else text.find(delimiter, position)  # type: ignore[union-attr]
            if end < 0 or end == len(text):
                fields.append(self._unescaped(text[position:]))
                return fields, State.COMPLETE
            fields.append(self._unescaped(text[position:end]))
            position = end + 1

    def state_after(self, line: str) -> State:
        """The state after a further line of a row that was OPEN before it."""
        end = self._inside.match(line).end()  # type: ignore[union-attr]
        if end == len(line):
            return State.OPEN
        match = self._after.match(line, end)
        if match is None:
            # The line end belongs to the text here.
            match = self._after.match(line.rstrip("\r\n"), end)
        if match is None:
            return State.STRAY
        return State.COMPLETE if match[1] is None else self.split(line[match.end() :].rstrip("\r\n"))[1]

    def _unquoted(self, content: str) -> str:
        if self.quote == "backslash":
            return self._escaped.sub(lambda match: match[1] or QUOTE, content)
        return content.replace('""', QUOTE) if QUOTE in content else content

    def _unescaped(self, content: str) -> str:
        if self.quote == "backslash" and "\\" in content:
            return self._escaped_plain.sub(lambda match: match[1], content)
        return content
