"""Logs as events with fields: one JSON object a line, in every room alike."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime


class JsonFormatter(logging.Formatter):
    """`{"at", "level", …, "event", …}`; what `extra={"fields": {…}}` holds stands beside them.

    Args:
        also: what else of the record stands in each line, by its attribute: `logger="name"`.
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
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)
