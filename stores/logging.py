"""Logs as events with fields: one JSON object a line, in every room alike."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "fields"}
"""Attributes of a record that no `extra=` of ours set."""


_ENCODER = json.JSONEncoder(ensure_ascii=False, default=str)


class JsonFormatter(logging.Formatter):
    """Format a record as `{"at", "level", …, "event", …}`, followed by the fields of `extra=`.

    `extra={"fields": {…}}` may hold any name, `extra={…}` any that is not an attribute of a log record. No field is
    lost: one whose name the line has already, such as `at`, is written with `_` appended.

    Args:
        also: further attributes of the record to write, by the name of the field: `logger="name"`.
    """

    def __init__(self, **also: str) -> None:
        super().__init__()
        self._also = also

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            **{name: getattr(record, attribute) for name, attribute in self._also.items()},
            "event": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        # Record factories of libraries, such as Ray's, add private attributes.
        extra = {
            name: value
            for name, value in vars(record).items()
            if name not in _STANDARD and not name.startswith("_")
        }
        for name, value in (*extra.items(), *getattr(record, "fields", {}).items()):
            free = name
            while free in line:
                free += "_"
            line[free] = value
        return _ENCODER.encode(line)
