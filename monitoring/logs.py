"""Logs as events with fields: one JSON object a line on standard error; standard output is the command's answer."""

from __future__ import annotations

import logging

from stores.json_logs import JsonFormatter


def log_events(level: int) -> None:
    """Send this room's events to standard error."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("monitoring")
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(level)
