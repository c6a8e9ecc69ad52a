"""`python -m service serve`: where it listens, what it refuses, how it ends, and keys and BentoML's client over it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

import psutil
import pytest

from service import key_file
from service.settings import ServiceSettings
from service.start_checks import StartRefused, check_binding, check_keys, check_workers, is_local, listen
from stores.predictions import PredictionStore
from tests import golden_messages as messages
from tests.support.servers import ROOT, free_port, serving

TEXT = "The striker scored twice in the cup final."


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("/run/champion.sock", True),
        ("0.0.0.0", False),
        ("::", False),
        ("::ffff:0.0.0.0", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("10.0.0.1", False),
        ("169.254.1.1", False),
    ],
)
def test_only_addresses_of_this_machine_need_no_key(tmp_path, address, local):
    assert is_local(address) is local
    if local:
        check_binding(address, ServiceSettings())
    else:
        with pytest.raises(StartRefused) as refused:
            check_binding(address, ServiceSettings())
        assert "API_KEYS" in str(refused.value)
        assert "ALLOW_ANONYMOUS" in str(refused.value)
    path = tmp_path / "keys.json"
    for settings in ({"api_keys": "k"}, {"api_keys_file": path}, {"allow_anonymous": True}):
        check_binding(address, ServiceSettings(**settings))


def test_what_a_name_means_is_checked():
    with listen("localhost", 0, ServiceSettings()) as bound:
        assert is_local(bound.getsockname()[0])
    with pytest.raises(StartRefused, match=messages.START_WITHOUT_KEYS):
        listen("0", 0, ServiceSettings())  # 0.0.0.0


def test_a_taken_port_is_said_in_one_sentence():
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(StartRefused, match=messages.PORT_IN_USE),
    ):
        listen("127.0.0.1", taken.getsockname()[1], ServiceSettings())


@pytest.mark.parametrize("count", [None, "", "1", 1])
def test_one_worker_is_what_there_is(count):
    check_workers(count)


@pytest.mark.parametrize("count", ["2", 2, 0, "cpu_count", "auto"])
def test_other_numbers_of_workers_are_refused(count):
    with pytest.raises(StartRefused, match="worker"):
        check_workers(count)


def test_a_key_file_that_cannot_be_read_is_refused_at_the_start(tmp_path):
    with pytest.raises(StartRefused, match="API_KEYS_FILE"):
        check_keys(ServiceSettings(api_keys_file=tmp_path / "missing"))


@pytest.mark.parametrize(
    ("arguments", "settings", "says"),
    [
        (["--host", "0.0.0.0"], {}, "ALLOW_ANONYMOUS"),
        ([], {"BENTOML_API_WORKERS": "2"}, "worker"),
        ([], {"API_KEYS": "a secret value,", "MAX_TEXTS": "0"}, "MAX_TEXTS"),
        ([], {"API_KEYS_FILE": "/nonexistent/keys.json"}, "API_KEYS_FILE"),
    ],
)
def test_a_start_that_makes_no_sense_ends_with_78_and_one_line(tmp_path, arguments, settings, says):
    environment = {**os.environ, "API_KEYS": "", "VAR_DIR": str(tmp_path / "var"), **settings}
    command = [sys.executable, "-m", "service", "serve", "--port", str(free_port()), *arguments]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 78
    (line,) = done.stderr.splitlines()
    assert says in line
    assert "secret value" not in line


CLIENT = """
import asyncio, bentoml, json, sys
address, key, text = sys.argv[1:]
said = {}
with bentoml.SyncHTTPClient(address, token=key) as client:
    said["one"] = client.classify(text=text)["predictions"]
    said["several"] = client.classify(text=[text, "Shares fell in London."], top_k=1)["predictions"]
    said["feedback"] = client.feedback(feedback=[{"id": said["one"][0]["id"], "label": "sports"}])
    try:
        client.classify(text=text, unknown_argument=1)
    except TypeError as error:
        said["unknown"] = str(error)
async def asynchronously():
    async with bentoml.AsyncHTTPClient(address, token=key) as client:
        return (await client.classify(text=text))["predictions"][0]["label"]
said["asynchronous"] = asyncio.run(asynchronously())
with bentoml.SyncHTTPClient(address, token="wrong") as client:
    try:
        client.classify(text=text)
    except bentoml.exceptions.BentoMLException as error:
        said["refused"] = int(error.error_code)
print(json.dumps(said))
"""
"""A program of a user of BentoML's clients: in a separate process, since what they import and leave warns."""


@pytest.mark.slow
def test_keys_and_bentomls_client_over_the_running_service(bundle, tmp_path):
    path = tmp_path / "keys.json"
    key = key_file.add(path, "shop", ["classify", "feedback"])
    var = tmp_path / "var"
    with serving(var, {"MODEL_URI": str(bundle), "API_KEYS_FILE": str(path)}) as server:
        process = psutil.Process(server.process.pid)
        ports = [
            connection.laddr.port
            for member in (process, *process.children(recursive=True))
            for connection in member.net_connections("inet")
            if connection.status in (psutil.CONN_LISTEN, psutil.CONN_NONE)
        ]
        assert ports == [int(server.address.rpartition(":")[2])], "no other port, TCP or UDP"

        command = [sys.executable, "-c", CLIENT, server.address, key, TEXT]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        (prediction,) = said["one"]
        assert prediction["label"] == said["asynchronous"] == "sports"
        assert [len(given["scores"]) for given in said["several"]] == [1, 1]
        assert said["feedback"] == {"accepted": 1, "unknown": []}
        assert "unknown_argument" in said["unknown"]
        assert said["refused"] == 401

        store = PredictionStore.open(f"sqlite:///{var / 'predictions.db'}")
        row = store.get(prediction["id"])
        store.close()
        assert row is not None
        assert (row.key_name, row.true_label) == ("shop", "sports")

        key_file.revoke(path, "shop")
        headers = {"Authorization": f"Bearer {key}"}
        with server.client(headers=headers) as http:
            deadline = time.monotonic() + 30
            while http.post("/classify", json={"text": TEXT}).status_code != 401:
                assert time.monotonic() < deadline, "the key was revoked long ago"
                time.sleep(0.1)

        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(30) == 0
    lines = [json.loads(line) for line in server.lines() if line.startswith("{")]
    answered = [line for line in lines if line.get("status") == 200 and line["route"] != "/schema.json"]
    assert {line.get("key_name") for line in answered} == {"shop"}
    assert not any(key in line for line in server.lines())


@contextmanager
def unread(port: int, answers: int):
    """A connection whose client asks for `answers` pages of half a megabyte, and reads none of them."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.sendall(b"GET /ui/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n" * answers)
        yield


@pytest.mark.slow
def test_shutdown_does_not_wait_for_stalled_clients(bundle, tmp_path):
    settings = {"MODEL_URI": str(bundle)}
    with serving(tmp_path / "var", settings) as server:
        port = int(server.address.rpartition(":")[2])
        with unread(port, 1), unread(port, 20):
            time.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(20) == 0, "REQUEST_TIMEOUT is 30 seconds"
    with serving(tmp_path / "var", {**settings, "DRAIN_SECONDS": "600"}) as server:
        server.process.send_signal(signal.SIGINT)
        with server.client() as client:
            deadline = time.monotonic() + 30
            while client.get("/readyz").status_code != 503:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            refused = client.post("/classify", json={"text": TEXT})
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        assert server.process.poll() is None, "only Ctrl-C asks to hurry"
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(10) == 130
