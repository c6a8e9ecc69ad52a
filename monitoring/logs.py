"""Logs as events with fields: one JSON object a line on standard error; standard output is the command's answer."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime


class JsonFormatter(logging.Formatter):
    """`{"at", "level", "event", …}`; what `extra={"fields": {…}}` holds stands beside them."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "event": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        return json.dumps(line, ensure_ascii=False, default=str)


def log_events(level: int) -> None:
    """Send this room's events to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("monitoring")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(level)
