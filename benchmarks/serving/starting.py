"""Starting a server, waiting until it answers, measuring its memory, and never leaving it behind."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.serving.material import Material
from benchmarks.serving.peers import Peer

_START_SECONDS = 180.0
_ROOT = Path(__file__).parents[2]


class DidNotStart(Exception):
    """A server ended, or gave no sign of life, before it could be asked; its log says why."""


@dataclass(frozen=True, slots=True)
class Running:
    """A server that can be asked."""

    address: str
    start_seconds: float
    process: subprocess.Popen[bytes]

    def megabytes(self) -> float:
        """Memory of all its processes; what they share is counted once."""
        total = 0.0
        for process in _family(self.process.pid):
            with suppress(psutil.Error):
                total += process.memory_full_info().pss / 1e6
        return total


@contextmanager
def started(peer: Peer, material: Material, log: Path) -> Iterator[Running]:
    """Start `peer` on a free port of the loopback interface; it has ended when the block has.

    Raises:
        DidNotStart: it cannot be asked.
    """
    port = _free_port()
    environment = {
        **os.environ,
        # Who was not started from an activated environment finds its programs all the same: MLflow calls uvicorn.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "WEIGHTS": str(material.weights),
        "MAX_LENGTH": str(material.max_length),
        "THREADS": str(material.threads),
        "OMP_NUM_THREADS": str(material.threads),
        "PORT": str(port),
        "BENTOML_HOME": str(log.parent / "bentoml"),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "true",
        **peer.environment,
    }
    began = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            peer.command(port), cwd=_ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(f"{address}{peer.ready}", process, peer, log)
        yield Running(address, time.perf_counter() - began, process)
    finally:
        _stop(process)


def _wait(url: str, process: subprocess.Popen[bytes], peer: Peer, log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DidNotStart(f"{peer.name} ended with status {process.returncode}: see {log}")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError as error:
            if error.code < 500:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise DidNotStart(f"{peer.name} gave no sign of life in {_START_SECONDS:.0f} s: see {log}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    family = _family(process.pid)
    for member in family:
        with suppress(psutil.Error):
            member.terminate()
    _, alive = psutil.wait_procs(family, timeout=15)
    for member in alive:
        with suppress(psutil.Error):
            member.kill()
    process.wait()


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
