"""Everything that reading a table can raise. A row that cannot be read raises nothing: it has a `problem`.

TableError (a StoreError)
 ├── TableNotFound        no such file, a folder, or a file that may not be read
 ├── TableFormatUnknown   the file is there, and is none of the formats that are read
 ├── TableRefused         it cannot be read with these options: encoding, header, column, a missing package
 └── TableDamaged         it breaks off, is not what its suffix says, or would take more memory than is allowed
"""

from __future__ import annotations

from stores.errors import StoreError


class TableError(StoreError):
    """Base of every error of this package; the message says what is wrong and what to do."""


class TableNotFound(TableError):
    """There is no such file, it is a folder, or it may not be read."""


class TableFormatUnknown(TableError):
    """The file is there, and is none of the formats that are read."""


class TableRefused(TableError):
    """The file cannot be read with these options."""


class TableDamaged(TableError):
    """The file breaks off, is not what its suffix says, or would take more memory than is allowed."""
