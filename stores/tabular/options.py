"""How a file is to be read: `TableOptions`."""

from __future__ import annotations

import codecs
from dataclasses import dataclass

from stores.tabular.errors import TableRefused

QUOTES = ("auto", "double", "backslash", "none")
_DELIMITER_NAMES = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "space": " "}


@dataclass(frozen=True, slots=True)
class TableOptions:
    """How a file is to be read. What does not apply to its format is ignored.

    Usage::

        TableOptions()                                                  # everything found from the content
        TableOptions(header=False, column_names=("label", "text"), quote="none")
    """

    delimiter: str | None = None
    """One character (or `tab`) between the fields of a text file; None: found from the content."""
    quote: str = "auto"
    """`double`: fields may stand in double quotes, doubled inside; `backslash`: inside as \\"; `none`: a quote is a
    character; `auto`: found from the content."""
    encoding: str = "utf-8"
    """Of a text file without a byte order mark."""
    header: bool = True
    """Whether the first row of a delimited file holds the column names. Without: `1`, `2`, …"""
    column_names: tuple[str, ...] | None = None
    """Names of a delimited file's columns by position, in place of the header's or where there is none."""
    setting: str = "--{} {}"
    """How messages write a setting, from its name and value: `--{} {}` on a command line, `data.{}={}` in an
    experiment."""

    def say(self, name: str, value: str) -> str:
        """A setting as its user would write it: `--encoding cp1252`."""
        spelled = name.replace("_", "-") if self.setting.startswith("--") else name
        return self.setting.format(spelled, value).strip()

    def checked(self) -> TableOptions:
        """These options, with names of delimiters replaced.

        Raises:
            TableRefused: an option has a value that does not exist.
        """
        if self.quote not in QUOTES:
            raise TableRefused(f"quote is {self.quote!r}; it can be {', '.join(QUOTES)}")
        try:
            codecs.lookup(self.encoding)
            "a".encode(self.encoding)
        except (LookupError, ValueError, TypeError):
            raise TableRefused(f"there is no text encoding {self.encoding!r}") from None
        delimiter = parse_delimiter(self.delimiter)
        return TableOptions(
            delimiter, self.quote, self.encoding, self.header, self.column_names, self.setting
        )


def parse_delimiter(given: str | None) -> str | None:
    """One character, from itself or from a name such as `tab`.

    Raises:
        TableRefused: it is neither.
    """
    if given is None:
        return None
    delimiter = _DELIMITER_NAMES.get(given.lower(), given)
    if len(delimiter) != 1 or delimiter in '"\r\n\\':
        raise TableRefused(f"the delimiter {given!r} is not one character (or {', '.join(_DELIMITER_NAMES)})")
    return delimiter
