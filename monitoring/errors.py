"""Everything this room can raise.

MonitoringError
 ├── NoReference     the served model has nothing to compare with
 ├── BadWindow       the window asked for makes no sense
 ├── BadLabels       a file of labels that cannot be taken
 └── NotAcceptable   a window that cannot join the reference
"""

from __future__ import annotations


class MonitoringError(Exception):
    """Base of every error of this package; the check could not run."""


class NoReference(MonitoringError):
    """The served model has no usable reference profile."""


class BadWindow(MonitoringError):
    """A time or duration that cannot be read, or a window that ends before it begins."""


class BadLabels(MonitoringError):
    """A file of labels that cannot be taken; nothing of it was written."""


class NotAcceptable(MonitoringError):
    """A window whose texts cannot join the reference; nothing was written."""
