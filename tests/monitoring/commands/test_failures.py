"""Only a verdict exits with 0 or 1: every real failure exits with 2 and one line on standard error."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families

from monitoring.cli import main
from monitoring.commands.check import repeat
from monitoring.commands.failures import Commands, failure_reason
from tests.monitoring.conftest import House, mistyped, normal

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def at_home(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """The environment of the command points at the house."""
    monkeypatch.setenv("VAR_DIR", str(house.var))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", house.tracking.tracking_uri)
    monkeypatch.setenv("MONITORING_PERMUTATIONS", "1999")
    return house


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def failed(done: Result) -> str:
    """The one line of a command that could not run."""
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.splitlines()
    assert done.stdout == ""
    return line


def metrics(path: Path) -> dict[str, float]:
    families = text_string_to_metric_families(path.read_text(encoding="utf-8"))
    return {sample.name: sample.value for family in families for sample in family.samples}


@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        (["check", "--until", "1764028800000"], {}, "milliseconds"),
        (["check", "--window", "9999999d"], {}, "36500d"),
        (["prune", "--dry-run"], {"RETENTION_DAYS": "9999999"}, "RETENTION_DAYS is '9999999'"),
        (["queue", "export", "next.csv", "--since", "nan"], {}, "'nan' is not a time"),
        (["history", "--since", "2026"], {}, "could be a year"),
        (["watch", "--every", "0s"], {}, "'0s' is not a duration"),
        (["check"], {"MONITORING_WINDOW": "inf"}, "MONITORING_WINDOW is 'inf': 'inf' is not"),
        (["check"], {"RETRAIN_COOLDOWN": "9999999d"}, "RETRAIN_COOLDOWN"),
        (["check"], {"ALERT_REMINDER_HOURS": "nan"}, "ALERT_REMINDER_HOURS"),
        (["prune"], {"RETENTION_ROWS": "9", "VAR_DIR": "/dev/null"}, "/dev/null"),
        (["check", "--widow", "2h"], {}, "No such option"),
        (["chek"], {}, "No such command"),
    ],
)
def test_what_cannot_run_exits_2_with_one_line(
    arguments: list[str],
    environment: dict[str, str],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("VAR_DIR", str(tmp_path))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert said in failed(run(*arguments))


def test_a_program_fault_exits_2_and_keeps_its_traceback(
    at_home: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_home.answer(mistyped(normal(60)[0]))
    assert run("check", "--window", "2h").exit_code == 1
    with at_home.store.writing() as connection:
        connection.exec_driver_sql("UPDATE checks SET signals = 'no JSON'")
    line = failed(run("check", "--window", "2h"))
    log = at_home.var / "monitoring" / "errors.log"
    assert str(log) in line
    assert "JSONDecodeError" in line
    assert "Traceback" in log.read_text(encoding="utf-8")
    textfile = metrics(at_home.var / "monitoring" / "latest" / "monitoring.prom")
    assert textfile["champion_monitoring_check_failed"] == 1
    assert textfile["champion_monitoring_status"] == 1, "the last verdict is still there"
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    loud = run("check", "--window", "2h")
    assert loud.exit_code == 2
    assert "Traceback" in loud.stderr
    at_home.store.close()
    (at_home.var / "predictions.db").write_bytes(b"no database " * 1000)
    assert "prediction store" in failed(run("check", "--window", "2h"))


def module(*arguments: str, stdout: int, **environment: str) -> tuple[int, str]:
    """Exit status and standard error of `python -m monitoring`; only of light commands, since importing takes long."""
    done = subprocess.run(
        [sys.executable, "-m", "monitoring", *arguments], cwd=ROOT, env={**os.environ, **environment},
        stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=280,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_a_missing_package_exits_2(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise ImportError('no click here')")
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    status, said = module("check", stdout=subprocess.DEVNULL, PYTHONPATH=path)
    assert (status, said) == (2, "monitoring could not start: ImportError: no click here\n")


def test_a_reader_that_leaves_and_a_full_disk_exit_2() -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    reading, writing = os.pipe()
    os.close(reading)
    try:
        assert module("label", "--help", stdout=full) == (
            2,
            "monitoring label could not run: [Errno 28] No space left on device\n",
        )
        assert module("label", "--help", stdout=writing) == (2, "")
    finally:
        os.close(full)
        os.close(writing)


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (SystemExit(1), 2), (SystemExit(0), 2), (SystemExit("words"), 2), (SystemExit(143), 143), (MemoryError(), 2),
        (KeyError("x"), 2), (RecursionError(), 2), (KeyboardInterrupt(), 130),
    ],
)  # fmt: skip
def test_only_a_command_itself_may_exit_with_0_or_1(
    end: BaseException, expected: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VAR_DIR", str(tmp_path))

    @click.group(cls=Commands)
    def group() -> None: ...

    @group.command()
    def fail() -> None:
        raise end

    @group.command()
    @click.pass_context
    def breach(context: click.Context) -> None:
        context.exit(1)

    with pytest.raises(SystemExit) as ended:
        group.main(["fail"])
    assert ended.value.code == expected
    with pytest.raises(SystemExit) as ended:
        group.main(["breach"])
    assert ended.value.code == 1


def test_reasons_are_one_line_without_passwords() -> None:
    why = failure_reason(ValueError("no answer\nfrom postgresql://user:secret@host/db " + "x" * 9000))
    assert "\n" not in why
    assert "secret" not in why
    assert len(why) < 2100


def test_a_watch_survives_every_failure_and_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VAR_DIR", str(tmp_path))
    said: list[logging.LogRecord] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", said.append)
    monkeypatch.setattr(logging.getLogger("monitoring"), "handlers", [handler])
    stop, ends = threading.Event(), [KeyError("x"), OSError("full"), MemoryError(), SystemExit(1)]

    def check() -> None:
        if not ends:
            stop.set()
            return
        raise ends.pop()

    assert repeat(check, 0.001, stop) == 5
    reasons = [record.fields["reason"] for record in said]  # type: ignore[attr-defined]
    assert len(reasons) == 4
    assert "errors.log" in reasons[-1]


def test_a_failed_check_is_in_the_textfile_until_one_succeeds(
    at_home: House, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    out, registry = tmp_path / "out", os.environ["MLFLOW_TRACKING_URI"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'new.db'}")
    assert "python -m training run" in failed(run("check", "--output", str(out)))
    assert metrics(out / "monitoring.prom")["champion_monitoring_check_failed"] == 1
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry)
    at_home.answer(normal(60)[0])
    done = run("check", "--window", "2h", "--json", "--output", str(out))
    assert done.exit_code == 0
    assert json.loads(done.stdout)["status"] == "ok"
    found = metrics(out / "monitoring.prom")
    assert found["champion_monitoring_check_failed"] == 0
    assert "champion_monitoring_failed_timestamp_seconds" not in found
