"""`bentoml serve`: what its supervisor listens on, what it refuses, and what happens when one of its processes dies."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.support.servers import ROOT, free_port, serving, wait_for

pytestmark = pytest.mark.slow

TEXT = {"text": "The striker scored twice in the cup final."}


def workers(pid: int) -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process(pid).children(recursive=True)
        if "_bentoml_impl.worker.service" in " ".join(child.cmdline())
    ]


def test_it_opens_one_port_restarts_and_ends_its_worker(bundle, tmp_path):
    with serving(tmp_path / "var", {"MODEL_URI": str(bundle)}, supervised=True) as server:
        supervisor = psutil.Process(server.process.pid)
        family = [supervisor, *supervisor.children(recursive=True)]
        port = int(server.address.rpartition(":")[2])
        open_ports = {
            connection.laddr
            for process in family
            for connection in process.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN
        }
        assert open_ports == {("127.0.0.1", port)}
        unix = {
            Path(connection.laddr)
            for connection in supervisor.net_connections("unix")
            if connection.laddr and "champion-supervisor-" in str(connection.laddr)
        }
        assert {path.name for path in unix} == {"control", "events"}
        (folder,) = {path.parent for path in unix}
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700

        (worker,) = workers(supervisor.pid)
        worker.kill()
        worker.wait(10)
        wait_for(server, "/readyz")
        with server.client() as client:
            assert client.post("/classify", json=TEXT).status_code == 200
        (worker,) = workers(supervisor.pid)

        supervisor.kill()
        server.process.wait()
        worker.wait(30)  # it ends by itself
        with socket.create_server(("127.0.0.1", port)):
            pass  # and lets go of the port


@pytest.mark.parametrize(
    ("arguments", "configuration", "says"),
    [
        (["--host", "0.0.0.0"], "", ["API_KEYS", "ALLOW_ANONYMOUS"]),
        (["--api-workers", "2"], "", ["2 worker"]),
        ([], "services:\n  champion:\n    workers: 2\n", ["2 worker"]),
        ([], "services:\n  workers: 2\n", ["2 worker"]),
    ],
)
def test_it_refuses_to_start(tmp_path, arguments, configuration, says):
    environment = {
        **os.environ,
        "VAR_DIR": str(tmp_path / "var"),
        "BENTOML_HOME": str(tmp_path / "bentoml"),
        "API_KEYS": "",
        "ALLOW_ANONYMOUS": "",
    }
    if configuration:
        file = tmp_path / "bentoml.yaml"
        file.write_text(configuration, encoding="utf-8")
        environment["BENTOML_CONFIG"] = str(file)
    command = [
        str(Path(sys.executable).with_name("bentoml")),
        "serve",
        "--port",
        str(free_port()),
        *arguments,
    ]
    started = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode != 0, f"after {time.monotonic() - started:.0f} s: {done.stdout}"
    assert "Traceback" not in done.stderr
    for word in says:
        assert word in done.stderr
