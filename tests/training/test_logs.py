"""The events of `var/logs/training.log`: each field that a call names reaches its line."""

from __future__ import annotations

import ast
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from stores.logging import JsonFormatter
from training.config.network import NetworkConfig
from training.finetuning.checkpoints import OutOfMemoryEvent, ResumeJournal
from training.logs import fields, log_to_file
from training.settings import TrainingSettings

ROOT = Path(__file__).parents[2]
LEVELS = {"debug", "info", "warning", "error", "exception", "critical"}
OWN = {"at", "level", "process", "event", "traceback"}
"""What a line has without any field."""


def _log_calls() -> Iterator[tuple[str, str, ast.Call]]:
    """(place, event, call) of every log call of training."""
    for path in sorted((ROOT / "training").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in LEVELS
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in {"log", "logger"}
            ):
                name = node.args[0]
                assert isinstance(name, ast.Constant), f"{path}:{node.lineno}: an event has a fixed name"
                yield f"{path.relative_to(ROOT)}:{node.lineno}", str(name.value), node


CALLS = list(_log_calls())


def test_every_event_of_training_is_found() -> None:
    assert {"run_started", "registered", "trial_complete", "out_of_memory"} <= {
        event for _, event, _ in CALLS
    }


@pytest.mark.parametrize(
    ("place", "event", "call"), CALLS, ids=[f"{event}-{place}" for place, event, _ in CALLS]
)
def test_an_event_loses_no_field(place: str, event: str, call: ast.Call) -> None:
    assert len(call.args) == 1, f"{place}: values are fields, not parts of the message"
    (extra,) = [keyword.value for keyword in call.keywords if keyword.arg == "extra"] or [None]
    if extra is None:
        return
    assert isinstance(extra, ast.Call), f"{place}: pass the fields by `fields`"
    assert isinstance(extra.func, ast.Name)
    assert extra.func.id in {"fields", "_fields_of"}, f"{place}: pass the fields by `fields`"
    names = [keyword.arg for keyword in extra.keywords if keyword.arg is not None]
    assert not OWN & set(names), f"{place}: the line has these itself"
    values = dict(zip(names, range(len(names)), strict=True))
    logger = logging.getLogger("training.tests")
    record = logger.makeRecord(logger.name, logging.INFO, "f", 1, event, (), None, extra=fields(**values))
    line = json.loads(JsonFormatter(process="process").format(record))
    assert {name: line[name] for name in names} == values


def test_restarts_are_logged_with_all_their_fields(tmp_path: Path) -> None:
    journal = ResumeJournal(tmp_path, batch_size=8)
    with log_to_file(TrainingSettings(var_dir=tmp_path)) as path:
        journal.restart(OutOfMemoryEvent(3, "no memory"), None, NetworkConfig(batch_size=8))
    line = json.loads(path.read_text(encoding="utf-8"))
    (restart,) = journal.restarts
    kept = {name: value for name, value in restart.items() if name != "at"}
    assert {name: line[name] for name in kept} == kept
    assert set(line) == {"at", "level", "process", "event", *kept}


def test_the_error_that_ends_a_command_is_logged(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="thing"), log_to_file(TrainingSettings(var_dir=tmp_path)) as path:
        raise ValueError("no such thing")
    line = json.loads(path.read_text(encoding="utf-8"))
    assert (line["event"], line["error"], line["message"]) == ("failed", "ValueError", "no such thing")
    assert "no such thing" in line["traceback"]
