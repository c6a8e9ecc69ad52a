"""Clients of a running service: a light load, and waiting until a version is served."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.support.servers import Server


@contextmanager
def clients(server: Server, count: int = 3, *, pause: float = 0.02) -> Iterator[Counter[tuple[int, str]]]:
    """Clients that classify again and again until the block ends; counts (status, version) of the answers.

    Each waits `pause` seconds after an answer.
    """
    answers: Counter[tuple[int, str]] = Counter()
    lock, over = threading.Lock(), threading.Event()

    def work() -> None:
        with httpx.Client(base_url=server.address, timeout=30) as client:
            while not over.is_set():
                response = client.post("/classify", json={"text": "The minister spoke about the new tax."})
                version = response.json().get("model", {}).get("version", "none")
                with lock:
                    answers[response.status_code, version] += 1
                over.wait(pause)

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        over.set()
        for thread in threads:
            thread.join()


def wait_for_version(server: Server, version: str) -> None:
    """Until `GET /model` tells that `version` is served."""
    over = threading.Event()
    for _ in range(240):
        if httpx.get(f"{server.address}/model", timeout=30).json()["version"] == version:
            return
        over.wait(0.25)
    raise AssertionError(f"version {version} was not served within a minute: {server.lines()[-5:]}")
