"""Running the project's own commands, and never leaving one behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

_STOP_SECONDS = 20.0


class StepFailed(Exception):
    """A command of the demo did not do what it should; the message says which, and where its log is."""


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def run(arguments: Sequence[str], environment: Mapping[str, str], *, expected: Sequence[int] = (0,)) -> int:
    """Run `python -m …` with its output on this terminal; returns the exit status.

    Raises:
        StepFailed: the exit status is not among `expected`.
    """
    print(f"\n$ python {' '.join(arguments)}", flush=True)
    status = subprocess.run([sys.executable, *arguments], env={**os.environ, **environment}).returncode
    if status not in expected:
        raise StepFailed(
            f"`python {' '.join(arguments)}` ended with status {status}, expected {list(expected)}"
        )
    return status


@contextmanager
def service(environment: Mapping[str, str], log: Path, *, ready_seconds: float = 120) -> Iterator[str]:
    """`python -m service serve` on a free port until the block ends; yields its address once it is ready."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "service", "serve", "--host", "127.0.0.1", "--port", str(port)]
    print(f"\n$ python -m service serve --port {port}   (log: {log})", flush=True)
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_until_ready(address, process, log, ready_seconds)
            yield address
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    # Children are found while their parent lives.
    with suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
            family = [member for member in family if member.is_running()]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.kill()
        process.kill()
    process.wait()


def _wait_until_ready(address: str, process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise StepFailed(f"the service ended with status {process.returncode}; its log is {log}")
        try:
            if httpx.get(f"{address}/readyz", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.25)
    raise StepFailed(f"the service was not ready after {seconds:.0f} s; its log is {log}")
