"""A Ray cluster, started as an operator starts one."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.support.servers import free_port

_START_SECONDS = 120
_TOKEN = secrets.token_hex(32)
"""One for all clusters of a test process: Ray's own code in it reads the token once."""


@contextmanager
def _private(*, nodes: int = 1) -> Iterator[None]:
    """An environment in which Ray asks for a token and, with one node, listens on the loopback interface only."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": str(
                int(nodes > 1)
            ),  # 0: the loopback interface, and one node
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": _TOKEN,
        }.items():
            patched.setenv(name, value)
        yield


@contextmanager
def ray_cluster_of_two_nodes() -> Iterator[tuple[str, Callable[[], None]]]:
    """Address of a cluster of two nodes with a processor each, and a function that kills the second node.

    For jobs in a process of their own: one that has imported Ray already does not read the token again.
    """
    address = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory(prefix="ray-") as folder, _private(nodes=2), ExitStack() as nodes:
        nodes.enter_context(_node(*_head_of(address), "--num-cpus=1", f"--temp-dir={folder}"))
        second = nodes.enter_context(_node(f"--address={address}", "--num-cpus=1"))
        yield address, lambda: _kill(second)


@contextmanager
def ray_cluster_of_two() -> Iterator[str]:
    """Address of a cluster of one machine and two processors; this process and its children may use it."""
    address = f"127.0.0.1:{free_port()}"
    with (
        tempfile.TemporaryDirectory(prefix="ray-") as folder,
        _private(),
        _node(*_head_of(address), "--num-cpus=2", f"--temp-dir={folder}"),
    ):
        yield address


def _head_of(address: str) -> list[str]:
    return ["--head", f"--port={address.rpartition(':')[2]}", "--include-dashboard=false"]


@contextmanager
def _node(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`ray start` with these arguments, once it has started; killed with its children in the end."""
    node = subprocess.Popen(
        [
            Path(sys.executable).with_name("ray"), "start", "--block", "--node-ip-address=127.0.0.1",
            "--object-store-memory=100000000", *arguments,
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        env={**os.environ, "RAY_ADDRESS": ""},
    )  # fmt: skip
    try:
        _wait(node)
        yield node
    finally:
        _kill(node)
        node.communicate()


def _kill(node: subprocess.Popen[str]) -> None:
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(node.pid)
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.kill()


def _wait(head: subprocess.Popen[str]) -> None:
    """Until it says that it has started."""
    assert head.stdout is not None
    deadline, said = time.monotonic() + _START_SECONDS, []
    while time.monotonic() < deadline and (line := head.stdout.readline()):
        said.append(line)
        if "--block" in line:  # the last thing it says
            return
    raise AssertionError("Ray did not start:\n" + "".join(said))
