"""Logs as events with fields: one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

_OURS = "service"
_THEIRS = ("bentoml", "uvicorn", "uvicorn.error", "mlflow", "alembic", "opentelemetry", "py.warnings")


class JsonFormatter(logging.Formatter):
    """`{"at", "level", "logger", "event", …}`; what `extra={"fields": {…}}` holds stands beside them."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "event": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def log_as_json(level: str) -> None:
    """Send the service's and its libraries' logs to standard output as JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    for name in (_OURS, *_THEIRS):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level if name == _OURS else max(logging.WARNING, logging.getLevelName(level)))
