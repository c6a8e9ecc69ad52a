"""`python -m service serve --workers 2`: load, kills, metrics, swaps, readiness and the end, with real processes."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service import key_file
from stores.registry import ModelRegistry
from tests.support.bundles import registered
from tests.support.engines import tracking_in
from tests.support.servers import ROOT, Server, free_port, serving, wait_for

pytestmark = pytest.mark.slow
TEXT = "The striker scored twice in the cup final, number {number} of the season."
TWO = {"WORKERS": "2", "THREADS": "2"}


def workers(server: Server) -> list[psutil.Process]:
    """The worker processes; not their short-lived children."""
    return psutil.Process(server.process.pid).children()


def metric(server: Server, name: str, **labels: str) -> float:
    """Sum of a sample's values over the other labels, from `/metrics` over a new connection."""
    text = httpx.get(f"{server.address}/metrics", timeout=30).raise_for_status().text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def stored(var: Path) -> Counter[str]:
    """Id → how often the store has it."""
    with closing(sqlite3.connect(var / "predictions.db")) as store:
        return Counter(row[0] for row in store.execute("SELECT id FROM predictions"))


class Load:
    """Requests of several clients; a connection that is reset is opened again."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.ids: list[str] = []
        self.refused: list[str] = []
        self.stopping = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(6)]

    def _send(self, number: int) -> None:
        client, sent = httpx.Client(base_url=self.address, timeout=30), 0
        while not self.stopping.is_set():
            sent += 1
            text = [TEXT.format(number=f"{number}.{sent}.{place}") for place in range(3)]
            try:
                answer = client.post("/classify", json={"text": text})
            except httpx.TransportError:  # the worker was killed; nothing was answered
                client.close()
                client = httpx.Client(base_url=self.address, timeout=30)
                time.sleep(0.02)
                continue
            if answer.status_code == 200:
                self.ids += [prediction["id"] for prediction in answer.json()["predictions"]]
            else:
                self.refused.append(answer.json()["error"]["code"])
            if sent % 20 == 0:  # connections are divided, not requests
                client.close()
                client = httpx.Client(base_url=self.address, timeout=30)
        client.close()


@contextmanager
def loaded(server: Server) -> Iterator[Load]:
    """Load until the block ends."""
    load = Load(server.address)
    for thread in load._threads:
        thread.start()
    try:
        yield load
    finally:
        load.stopping.set()
        for thread in load._threads:
            thread.join()


def wait_until(condition, seconds: float = 60.0) -> None:
    """Wait until `condition()` is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_killed_worker_loses_no_answer_and_no_count(bundle, tmp_path):
    var = tmp_path / "var"
    with serving(var, {**TWO, "MODEL_URI": str(bundle)}) as server:
        assert len(workers(server)) == 2
        with loaded(server) as load:
            for _ in range(2):
                time.sleep(1.5)
                victim = workers(server)[0]
                counted = metric(server, "champion_texts_total")
                victim.kill()
                wait_until(lambda victim=victim: not victim.is_running())
                assert metric(server, "champion_texts_total") >= counted
                wait_until(lambda: metric(server, "champion_workers") == 2)
        assert load.refused == [], "the other worker answers meanwhile"
        assert metric(server, "champion_worker_restarts_total") == 2
    assert len(load.ids) > 100
    found = stored(var)
    assert [id_ for id_ in load.ids if found[id_] != 1] == []


@pytest.fixture(scope="module")
def keyed(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, str]]]:
    """A service with two workers, and the headers of a key that may classify and erase."""
    folder = tmp_path_factory.mktemp("two")
    headers = {"X-API-Key": key_file.add(folder / "keys.json", "shop", ["classify", "erase"])}
    settings = {**TWO, "MODEL_URI": str(bundle), "API_KEYS_FILE": str(folder / "keys.json")}
    with serving(folder / "var", settings) as server:
        yield server, headers


def test_metrics_are_the_sum_over_both_workers(keyed):
    server, headers = keyed
    requests = metric(server, "bentoml_service_request_total", endpoint="/classify")
    texts = metric(server, "champion_texts_total")
    for number in range(40):
        text = [TEXT.format(number=number), "Shares fell in London."]
        httpx.post(f"{server.address}/classify", json={"text": text}, headers=headers).raise_for_status()
    for _ in range(6):  # of either worker
        assert metric(server, "bentoml_service_request_total", endpoint="/classify") == requests + 40
        assert metric(server, "champion_texts_total") == texts + 80
    assert metric(server, "champion_model_swaps_total") == 2
    assert metric(server, "champion_model_info") == metric(server, "champion_keys") == 1
    memory = sum(process.memory_info().rss for process in workers(server))
    assert metric(server, "process_resident_memory_bytes") == pytest.approx(memory, rel=0.2)


def test_an_erased_prediction_clears_the_cache_of_both(keyed):
    server, headers = keyed
    for _ in range(12):
        last = httpx.post(f"{server.address}/classify", json={"text": TEXT}, headers=headers).json()
    assert metric(server, "champion_cache_bytes") > 0
    prediction_id = last["predictions"][0]["id"]
    httpx.delete(f"{server.address}/predictions/{prediction_id}", headers=headers).raise_for_status()
    wait_until(lambda: metric(server, "champion_cache_bytes") == 0)


def test_another_service_does_not_share_the_port(keyed, tmp_path):
    server, _ = keyed
    command = [sys.executable, "-m", "service", "serve", "--port", server.address.rpartition(":")[2]]
    environment = {**os.environ, "VAR_DIR": str(tmp_path / "other"), "WORKERS": "2"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 78
    assert "in use" in done.stderr


def test_a_promoted_version_reaches_both_workers(bundle, second_bundle, tmp_path):
    var = tmp_path / "var"
    registry = ModelRegistry(tracking_in(var))
    registered(registry, bundle)
    with serving(var, TWO) as server:
        registered(registry, second_bundle)
        wait_until(lambda: metric(server, "champion_model_swaps_total") == 4)
        versions = {httpx.get(f"{server.address}/model").json()["version"] for _ in range(12)}
        assert versions == {"2"}
        assert metric(server, "champion_model_info", version="2") == 1
        assert metric(server, "champion_model_info", version="1") == 0


def test_sigterm_drains_both_workers(bundle, tmp_path):
    var = tmp_path / "var"
    with serving(var, {**TWO, "MODEL_URI": str(bundle), "DRAIN_SECONDS": "0.5"}) as server:
        processes = workers(server)
        with loaded(server) as load:
            time.sleep(1.0)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(30) == 0
        assert set(load.refused) <= {"shutting_down"}
        assert not any(process.is_running() for process in processes)
        lines = "\n".join(server.lines())
    assert "Traceback" not in lines
    assert "worker_ended" not in lines
    found = stored(var)
    assert load.ids
    assert [id_ for id_ in load.ids if found[id_] != 1] == []


def test_workers_end_with_a_killed_parent(bundle, tmp_path):
    with serving(tmp_path / "var", {**TWO, "MODEL_URI": str(bundle)}) as server:
        processes = workers(server)
        server.process.kill()
        server.process.wait()
        gone, alive = psutil.wait_procs(processes, timeout=30)
        assert (len(gone), alive) == (2, [])


def test_a_second_interrupt_ends_all_at_once(bundle, tmp_path):
    settings = {**TWO, "MODEL_URI": str(bundle), "DRAIN_SECONDS": "600"}
    with serving(tmp_path / "var", settings) as server:
        processes = workers(server)
        server.process.send_signal(signal.SIGINT)
        wait_for(server, "/readyz", status=503)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(10) == 130
        assert psutil.wait_procs(processes, timeout=10)[1] == []


def test_it_is_ready_once_every_worker_has_a_model(tmp_path, bundle):
    var = tmp_path / "var"
    with serving(var, TWO, until="/livez") as server:
        assert {httpx.get(f"{server.address}/readyz").status_code for _ in range(8)} == {503}
        registered(ModelRegistry(tracking_in(var)), bundle)
        wait_for(server, "/readyz")
        answers = {
            httpx.post(f"{server.address}/classify", json={"text": TEXT}).status_code for _ in range(12)
        }
        assert answers == {200}


def test_a_service_whose_workers_cannot_start_ends(tmp_path):
    # The parent does not read the key, and no worker can be made with it.
    environment = {
        **os.environ,
        "VAR_DIR": str(tmp_path / "var"),
        "MODEL_VERIFY_KEY": "no key",
        "THREADS": "2",
    }
    command = [sys.executable, "-m", "service", "serve", "--port", str(free_port()), "--workers", "2"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1
    assert "workers_cannot_start" in done.stdout
