"""Everything that reading and splitting data can raise.

DataError
 ├── SourceNotFound    no such file, packaged source or hub data set
 ├── ColumnNotFound    no text or label column by the given or a common name
 ├── DataRefused       too many rows are unusable, or nothing is left to learn from
 └── ClassTooSmall     a class has too few texts to stand in every part of the split
"""

from __future__ import annotations


class DataError(Exception):
    """Base of every error of this package; the message says what to change."""


class SourceNotFound(DataError):
    """The source does not exist, or cannot be read as what its name says."""


class ColumnNotFound(DataError):
    """The source has no such column, or none with a common name."""


class DataRefused(DataError):
    """More rows are unusable than `max_refused` allows, or too few labels are left."""


class ClassTooSmall(DataError):
    """A class is too small for the split; the message names it and its count."""
