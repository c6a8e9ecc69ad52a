"""A training ends with the check that began it: the whole of it, whatever it started, and another may begin."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from monitoring.training_process import record_termination_signals, run_training
from stores.predictions.checks import INTERRUPTED, CheckLog
from tests.monitoring.conftest import House, mistyped, normal
from tests.support.servers import ROOT

SMALL = """
name: small
model_name: news
data:
  source: bbc_news
  limit: 400
  checks: { language_texts: 20 }
candidates: { tfidf_logreg: { kind: tfidf_logreg, baseline: false } }
"""

STUBBORN = """
import pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(600)
"""


def wait_for(what: Callable[[], object], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)


def trainings(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """The trainings that a check has begun; its dry run, which comes first, is none."""
    found = []
    for child in psutil.Process(process.pid).children():
        with suppress(psutil.NoSuchProcess):  # it has just ended
            words = child.cmdline()
            if "training" in words and "--dry-run" not in words:
                found.append(child)
    return found


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_what_ignores_sigterm_is_killed_with_its_children(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Told(list[int]):
        """Becomes true when the training's own child runs."""

        def __bool__(self) -> bool:
            return (tmp_path / "child").exists() and bool((tmp_path / "child").read_text())

    status = run_training(["-c", STUBBORN, str(tmp_path / "child")], os.environ, Told(), grace=0.2)
    assert status is None
    wait_for(lambda: not alive(int((tmp_path / "child").read_text())), 10)


def test_a_training_returns_its_status_and_writes_to_stderr(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run_training(["-c", "print('said'); raise SystemExit(3)"], os.environ, []) == 3
    assert capfd.readouterr() == ("", "said\n")


def test_signals_are_noted_unless_they_were_ignored_at_start() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with record_termination_signals() as noted:
            for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
                signal.raise_signal(number)
        assert noted == [signal.SIGTERM, signal.SIGINT]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "number", "status", "left_by_then"),
    [
        (["check"], signal.SIGTERM, 128 + signal.SIGTERM, "monitoring/latest"),  # the training has just begun
        (["watch", "--every", "1h"], signal.SIGINT, 0, "training/small-*/*"),  # its data are read
    ],
)
def test_a_stopped_check_ends_its_training_and_frees_the_way(
    house: House, tmp_path: Path, command: list[str], number: int, status: int, left_by_then: str
) -> None:
    texts, labels = normal(60)
    house.answer(mistyped(texts), labels=labels)
    (tmp_path / "small.yaml").write_text(SMALL, encoding="utf-8")
    environment = {
        "VAR_DIR": str(house.var),
        "MLFLOW_TRACKING_URI": house.tracking.tracking_uri,
        "MONITORING_EXPERIMENT": str(tmp_path / "small.yaml"),
        "MONITORING_PERMUTATIONS": "1999",
        "RETRAIN_BREACHES": "1",
        "RETRAIN_MIN_LABELS": "50",
    }
    arguments = [*command, "--window", "2h", "--on-breach", "retrain"]
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "monitoring", *arguments],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )
    try:
        wait_for(
            lambda: (list(house.var.glob(left_by_then)) and trainings(process)) or process.poll() is not None
        )
        training = trainings(process)
        process.send_signal(number)
        assert process.wait(60) == status, (tmp_path / "said").read_text()
    finally:
        process.kill()
        process.wait()
    assert len(training) == 1, (tmp_path / "said").read_text()
    assert not alive(training[0].pid)
    assert f"Told to stop by {number.name}: the training was ended" in (tmp_path / "said").read_text()
    log = CheckLog(house.store)
    (check,) = log.retrainings("news")
    assert check.retrain_status == INTERRUPTED
    assert log.begin_retraining(check.id, "news", cooldown=86400, now=time.time()), (
        "another may begin at once"
    )
