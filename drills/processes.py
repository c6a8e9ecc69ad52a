"""Processes of the project, started as a user starts them, and what they take of the machine."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from drills.wire import Connection

ROOT = Path(__file__).resolve().parents[1]
_STOP_SECONDS = 30.0
_INHERITED = (
    "PATH",
    "HOME",
    "LANG",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "TMPDIR",
    "VIRTUAL_ENV",
    "OMP_NUM_THREADS",
)
"""Variables that processes of a drill get; settings of the user's shell must not change what is tried."""


class DrillFailed(Exception):
    """A drill could not be carried out, or found something after which it cannot continue."""


def environment(var: Path, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """Environment of a process whose state is under `var`."""
    return {
        **{name: os.environ[name] for name in _INHERITED if name in os.environ},
        "VAR_DIR": str(var),
        "BENTOML_HOME": str(var / "bentoml"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "BENTOML_DO_NOT_TRACK": "True",
        "POLL_SECONDS": "0.5",
        "DRAIN_SECONDS": "0",
        "LOG_LEVEL": "WARNING",
        **(settings or {}),
    }


def start(
    arguments: Sequence[str], var: Path, log: Path, settings: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `python ARGUMENTS`; its output is added to `log`."""
    var.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=environment(var, settings),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def finish(process: subprocess.Popen[bytes], log: Path, seconds: float = 120.0) -> int:
    """Exit status of a process that ends within `seconds`; DrillFailed if it does not."""
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        kill(process)
        raise DrillFailed(
            f"a command did not end within {seconds:.0f} s; {log} ends with {tail(log)}"
        ) from None


def tail(log: Path, characters: int = 600) -> str:
    """The end of a log."""
    return log.read_text(encoding="utf-8", errors="replace")[-characters:]


def family(pid: int) -> list[psutil.Process]:
    """A process and all that it started."""
    try:
        leader = psutil.Process(pid)
        return [leader, *leader.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def kill(process: subprocess.Popen[bytes]) -> None:
    """`kill -9` of a process and all that it started, at once."""
    members = family(process.pid)
    for member in members:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(members, timeout=10)
    process.wait()


class Service:
    """A running service on a loopback port."""

    def __init__(
        self, var: Path, settings: Mapping[str, str] | None = None, *, port: int | None = None
    ) -> None:
        self.port = port or free_port()
        self.log = var.with_name(f"{var.name}-service.log")
        listen = ["--host", "127.0.0.1", "--port", str(self.port)]
        if importlib.util.find_spec("service.__main__"):
            command = ["-m", "service", "serve", *listen]
        else:
            command = ["-m", "bentoml", "serve", *listen]
        self.process = start(command, var, self.log, settings)

    def wait(self, path: str = "/readyz", status: int = 200, seconds: float = 120.0) -> float:
        """Wait until `path` answers with `status`; the seconds that it took.

        Raises:
            DrillFailed: it does not within `seconds`, or the process has ended.
        """
        began, problem = time.monotonic(), "nothing"
        while time.monotonic() - began < seconds:
            if self.process.poll() is not None:
                raise DrillFailed(f"the service ended with {self.process.returncode}: {tail(self.log)}")
            found = self.get(path)
            if found == status:
                return time.monotonic() - began
            problem = str(found)
            time.sleep(0.05)
        raise DrillFailed(
            f"{path} did not answer {status} within {seconds:.0f} s, but {problem}: {tail(self.log)}"
        )

    def get(self, path: str) -> int | None:
        """Status of a GET; None where there is no answer."""
        try:
            with Connection(self.port, timeout=5) as connection:
                return connection.get(path).status
        except OSError:
            return None

    def resident_bytes(self) -> int:
        """Memory that the service and what it started hold now."""
        total = 0
        for member in family(self.process.pid):
            with suppress(psutil.NoSuchProcess):
                total += member.memory_info().rss
        return total

    def stop(self) -> None:
        """SIGTERM, and SIGKILL for what is left after half a minute."""
        members = family(self.process.pid)
        if self.process.poll() is None:
            self.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_STOP_SECONDS)
        for member in members:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        self.process.wait()


@contextmanager
def serving(
    var: Path, settings: Mapping[str, str] | None = None, *, until: str = "/readyz"
) -> Iterator[Service]:
    """A service, ready, until the block ends."""
    service = Service(var, settings)
    try:
        service.wait(until)
        yield service
    finally:
        service.stop()


def free_port() -> int:
    """A port of the loopback interface that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
