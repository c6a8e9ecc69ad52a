"""Starting the real service for a test, and never leaving it behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

ROOT = Path(__file__).resolve().parents[2]
_STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """A running service."""

    address: str
    process: subprocess.Popen[bytes]
    """The service; with `supervised`, BentoML's supervisor, whose worker is a child with its own process group."""
    log: Path

    def client(self, **options: object) -> httpx.Client:
        """A client of this server."""
        return httpx.Client(base_url=self.address, timeout=60, **options)  # type: ignore[arg-type]

    def kill(self) -> None:
        """End the service and its children at once, as a power cut would."""
        _kill(_family(self.process.pid))
        self.process.wait()

    def lines(self) -> list[str]:
        """What it has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace").splitlines()


def free_port() -> int:
    """A port of the loopback interface without a listener."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def serving(
    var_dir: Path,
    settings: Mapping[str, str] | None = None,
    *,
    bento: str | None = None,
    supervised: bool = False,
    cwd: Path = ROOT,
    until: str = "/readyz",
    seconds: float = 90,
) -> Iterator[Server]:
    """`python -m service serve` with its state under `var_dir`, until the block ends.

    Args:
        var_dir: VAR_DIR of the service; its log is `service.log` in there.
        settings: more of its environment.
        bento: a bento to serve with `bentoml serve`, instead of the source in `cwd`.
        supervised: serve the source with `bentoml serve`.
        cwd: where it is started.
        until: the route that must answer with 200 before the block begins: `/livez` where no model is expected.
        seconds: how long to wait for that.
    """
    port = free_port()
    var_dir.mkdir(parents=True, exist_ok=True)
    log = var_dir / "service.log"
    if bento or supervised:
        command = [str(Path(sys.executable).with_name("bentoml")), "serve", *([bento] if bento else [])]
    else:
        command = [sys.executable, "-m", "service", "serve"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    environment = {
        # MLflow leaves the address of the registry that a test used last in this process's environment.
        **{name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"},
        "VAR_DIR": str(var_dir),
        # Kept apart from the user's, and from other servers of this test run.
        "BENTOML_HOME": os.environ.get("BENTOML_HOME", str(var_dir / "bentoml")),
        "POLL_SECONDS": "0.5",
        "DRAIN_SECONDS": "0",
        "WORKERS": "1",  # whatever machine the test runs on
        **(settings or {}),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=cwd, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        server = Server(f"http://127.0.0.1:{port}", process, log)
        try:
            wait_for(server, until, seconds)
            yield server
        finally:
            _stop(process)


def wait_for(server: Server, path: str, seconds: float = 90, status: int = 200) -> None:
    """Wait until `path` answers with `status`; AssertionError with the server's log if it does not in time."""
    deadline = time.monotonic() + seconds
    answer = "nothing"
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            response = httpx.get(server.address + path, timeout=5)
        except httpx.TransportError as error:
            answer = repr(error)
        else:
            if response.status_code == status:
                return
            answer = f"{response.status_code} {response.text}"
        time.sleep(0.1)
    log = "\n".join(server.lines()[-40:])
    raise AssertionError(f"{path} did not answer with {status}; it said {answer}. The log ends with:\n{log}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    family = _family(process.pid)
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    _kill(family)  # whatever is left
    process.wait()


def _family(pid: int) -> list[psutil.Process]:
    """The process and all that it started; the supervisor first, so that it starts nothing anew."""
    try:
        leader = psutil.Process(pid)
        return [leader, *leader.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _kill(family: list[psutil.Process]) -> None:
    for member in family:
        with suppress(psutil.NoSuchProcess):  # psutil compares start times: a reused id is not killed
            member.kill()
    psutil.wait_procs(family, timeout=10)
