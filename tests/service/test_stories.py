"""Whole stories of the running service: no model yet, a swap under load, a kill under load, a graceful end."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import psutil
import pytest

from stores.predictions import PredictionStore
from stores.registry import ModelRegistry
from tests.support.bundles import bbc_part, registered
from tests.support.engines import tracking_in
from tests.support.servers import Server, serving, wait_for

pytestmark = pytest.mark.slow


class Load:
    """Clients that classify without a pause until they are stopped, and note every answer."""

    def __init__(self, server: Server, clients: int = 6) -> None:
        self._address = server.address
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.statuses: Counter[int] = Counter()
        self.versions: Counter[str] = Counter()
        self.ids: list[str] = []
        self.broken_off = 0
        self._texts = [text[:600] for text in bbc_part(2)[0]]
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self, number: int) -> None:
        with httpx.Client(base_url=self._address, timeout=30) as client:
            turn = number
            while not self._stop.is_set():
                turn += 1
                texts = self._texts[turn % 300 : turn % 300 + (1 if turn % 3 else 5)]
                try:
                    response = client.post("/classify", json={"text": texts})
                except httpx.TransportError:
                    self.broken_off += 1
                    time.sleep(0.01)
                    continue
                with self._lock:
                    self.statuses[response.status_code] += 1
                    if response.status_code == 200:
                        answer = response.json()
                        self.versions[answer["model"]["version"]] += 1
                        self.ids += [prediction["id"] for prediction in answer["predictions"]]

    def wait_for(self, condition, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition(self):
            assert time.monotonic() < deadline, f"not in time; so far {self.statuses} {self.versions}"
            time.sleep(0.02)


def assert_all_kept(var_dir: Path, ids: list[str]) -> None:
    store = PredictionStore.open(f"sqlite:///{var_dir / 'predictions.db'}")
    kept = {row.id for row in store.window(0, time.time() + 3600)}
    store.close()
    assert len(ids) == len(set(ids))
    assert set(ids) <= kept


def test_from_no_model_to_a_swap_under_load(bundle, second_bundle, tmp_path):
    registry = ModelRegistry(tracking_in(tmp_path))
    with serving(tmp_path, until="/livez") as server, server.client() as client:
        assert client.get("/readyz").status_code == 503
        for response in (client.post("/classify", json={"text": "x"}), client.get("/model")):
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) >= 1
            error = response.json()["error"]
            assert error["code"] == "no_model"
        wait_for(server, "/model", status=503)
        deadline = time.monotonic() + 30
        while "train one" not in client.get("/model").json()["error"]["message"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        unknown = client.post("/feedback", json={"feedback": [{"id": "a" * 32, "label": "anything"}]})
        assert unknown.json() == {"accepted": 0, "unknown": ["a" * 32]}

        registered(registry, bundle)
        wait_for(server, "/readyz")
        with Load(server) as load:
            load.wait_for(lambda so_far: so_far.versions["1"] > 30)
            registered(registry, second_bundle)
            load.wait_for(lambda so_far: so_far.versions["2"] > 30)
            registry.rollback()
            before = load.versions["1"]
            load.wait_for(lambda so_far: so_far.versions["1"] > before + 30)
        assert set(load.statuses) == {200}
        assert load.broken_off == 0
        assert set(load.versions) == {"1", "2"}
        metrics = client.get("/metrics").text
        assert "champion_model_swaps_total 3.0" in metrics
        assert 'champion_model_info{alias="champion",model="news",version="1"} 1.0' in metrics
        assert 'version="2"} 1.0' not in metrics.split("champion_model_info{")[1].split("\n")[0]
    assert_all_kept(tmp_path, load.ids)


def test_a_kill_under_load_loses_no_answered_prediction(bundle, tmp_path):
    with serving(tmp_path, {"MODEL_URI": str(bundle)}) as server, Load(server) as load:
        load.wait_for(lambda so_far: len(so_far.ids) > 300)
        server.kill()
        with pytest.raises(httpx.TransportError):
            httpx.get(server.address + "/livez", timeout=5)
        answered = list(load.ids)
    assert set(load.statuses) == {200}
    assert len(answered) > 300
    assert_all_kept(tmp_path, load.ids)


def test_sigterm_answers_what_was_accepted_and_refuses_the_rest(bundle, tmp_path):
    settings = {"MODEL_URI": str(bundle), "DRAIN_SECONDS": "2"}
    with serving(tmp_path, settings) as server:
        with Load(server) as load, server.client() as client:
            load.wait_for(lambda so_far: so_far.statuses[200] > 50)
            assert client.get("/readyz").status_code == 200
            os.kill(server.process.pid, signal.SIGTERM)
            load.wait_for(lambda so_far: so_far.statuses[503] > 5)
            assert client.get("/readyz").status_code == 503
            assert client.get("/livez").status_code == 200
            refused = client.post("/classify", json={"text": "x"})
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "shutting_down"
            server.process.wait(30)
        assert set(load.statuses) == {200, 503}
        assert psutil.pid_exists(server.process.pid) is False
    assert_all_kept(tmp_path, load.ids)
