"""Log lines of the service and its libraries."""

from __future__ import annotations

import logging
import sys

from stores.logging import JsonFormatter

_OURS = "service"
_THEIRS = ("bentoml", "uvicorn", "uvicorn.error", "mlflow", "alembic", "opentelemetry", "py.warnings")


def log_as_json(level: str) -> None:
    """Send the service's and its libraries' logs to standard output as JSON lines."""
    # No line has them, and each record would ask for them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter(logger="name"))
    for name in (_OURS, *_THEIRS):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level if name == _OURS else max(logging.WARNING, logging.getLevelName(level)))
