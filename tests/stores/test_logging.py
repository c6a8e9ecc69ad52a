"""The JSON lines of the logs."""

from __future__ import annotations

import ast
import json
import logging
import sys
from pathlib import Path

import pytest

from stores.logging import JsonFormatter

ROOT = Path(__file__).parents[2]
RESERVED = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


@pytest.mark.parametrize(
    "extra",
    [{"fields": {"name": "minilm", "rows": 3}}, {"entry": "a", "why": "b"}, {"fields": {"a": 1}, "b": 2}],
)
def test_every_field_of_extra_is_written(extra):
    logger = logging.getLogger("test_json_logs")
    record = logger.makeRecord(logger.name, logging.INFO, "file", 1, "event", (), None, extra=extra)
    line = json.loads(JsonFormatter(logger="name").format(record))
    wanted = {**{name: value for name, value in extra.items() if name != "fields"}, **extra.get("fields", {})}
    assert {name: line[name] for name in wanted} == wanted
    assert set(line) == {"at", "level", "logger", "event", *wanted}


def test_a_field_never_replaces_another():
    logger = logging.getLogger("test_json_logs")
    given = {"at": "yesterday", "level": 3, "event": "x", "process": "y", "traceback": "z", "a": 1}
    extra = {"fields": given, "a": 2}
    try:
        raise ValueError("broken")
    except ValueError:
        record = logger.makeRecord(
            logger.name, logging.INFO, "f", 1, "event", (), sys.exc_info(), extra=extra
        )
    line = json.loads(JsonFormatter(process="process").format(record))
    assert (line["event"], line["level"], line["process"]) == ("event", "INFO", record.process)
    assert "ValueError: broken" in line["traceback"]
    assert {name: line[f"{name}_"] for name in given} == given
    assert line["a"] == 2


def test_no_log_call_uses_a_reserved_field_name():
    """`logging` raises KeyError at the call for an `extra=` of these names, outside of `fields`."""
    for room in ("classifier", "stores", "service", "training", "monitoring", "demo"):
        for path in (ROOT / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.keyword) and node.arg == "extra" and isinstance(node.value, ast.Dict):
                    names = {key.value for key in node.value.keys if isinstance(key, ast.Constant)}
                    assert not names & RESERVED, f"{path}:{node.lineno}"
