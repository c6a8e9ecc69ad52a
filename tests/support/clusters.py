"""A Ray cluster, started as an operator starts one."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.support.servers import free_port

_START_SECONDS = 120


@contextmanager
def ray_cluster_of_two() -> Iterator[str]:
    """Address of a cluster of one machine and two processors; this process and its children may use it."""
    address = f"127.0.0.1:{free_port()}"
    with tempfile.TemporaryDirectory(prefix="ray-") as folder, pytest.MonkeyPatch.context() as patched:
        for name, value in {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # the loopback interface only
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
        }.items():
            patched.setenv(name, value)
        head = subprocess.Popen(
            [
                Path(sys.executable).with_name("ray"), "start", "--head", "--block", "--num-cpus=2",
                f"--port={address.rpartition(':')[2]}", "--node-ip-address=127.0.0.1",
                "--include-dashboard=false", "--object-store-memory=100000000", f"--temp-dir={folder}",
            ],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, "RAY_ADDRESS": ""},
        )  # fmt: skip
        try:
            _wait(head)
            yield address
        finally:
            family = [head_process := psutil.Process(head.pid), *head_process.children(recursive=True)]
            for process in family:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            head.communicate()


def _wait(head: subprocess.Popen[str]) -> None:
    """Until it says that it has started."""
    assert head.stdout is not None
    deadline, said = time.monotonic() + _START_SECONDS, []
    while time.monotonic() < deadline and (line := head.stdout.readline()):
        said.append(line)
        if "--block" in line:  # the last thing it says
            return
    raise AssertionError("Ray did not start:\n" + "".join(said))
