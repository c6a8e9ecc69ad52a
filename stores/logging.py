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

    `extra={"fields": {…}}` may hold any name, `extra={…}` any that is not an attribute of a log record.

    Args:
        also: further attributes of the record to write, by the name of the field: `logger="name"`.
    """

    def __init__(self, **also: str) -> None:
        super().__init__()
        self._also = also

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            **{name: getattr(record, attribute) for name, attribute in self._also.items()},
            "event": record.getMessage(),
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD}
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return _ENCODER.encode(line)
