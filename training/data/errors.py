"""Exceptions of data loading and splitting.

DataError
 ├── SourceNotFound    no such file, packaged source or hub data set
 ├── ColumnNotFound    no text or label column by the given or a common name
 ├── DataRefused       too many rows are unusable, or nothing is left to learn from
 │    └── NotOneValue  a text or a label is a list or an object
 ├── ColumnAmbiguous   two columns have the name of the one that is needed
 └── ClassTooSmall     a class has too few texts for every part of the split
"""

from __future__ import annotations

from typing import Any


class DataError(Exception):
    """Base of every error of this package; the message says what to change."""


class SourceNotFound(DataError):
    """The source does not exist, or cannot be read as what its name says."""


class ColumnNotFound(DataError):
    """The source has no such column, or none with a common name."""


class DataRefused(DataError):
    """More rows are unusable than `max_refused` allows, or too few labels are left."""


class NotOneValue(DataRefused):
    """A text or a label is a list or an object; the message names the row.

    `value` is what was found, `row` and `column` say where, once it is known.
    """

    def __init__(self, value: Any, message: str = "", *, row: int = 0, column: str = "") -> None:
        super().__init__(message or f"a value of type {type(value).__name__} is not one text")
        self.value = value
        self.row = row
        self.column = column


class ColumnAmbiguous(DataError):
    """Two columns have the name of the text or the label; the message says how to choose."""


class ClassTooSmall(DataError):
    """A class is too small for the split; the message names it and its count."""
