"""Clients of a running service: a light load, and waiting until a version is served."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

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
    _wait(server, lambda card: card["version"] == version, f"version {version} was not served")


def wait_for_answer(answers: Counter[tuple[int, str]], version: str) -> None:
    """Until a client of `clients` was answered by `version`."""
    for _ in range(240):
        if any(found == version for _, found in list(answers)):
            return
        threading.Event().wait(0.25)
    raise AssertionError(f"no client was answered by version {version}")


def wait_for_problem(server: Server, words: str) -> dict[str, Any]:
    """Until `GET /model` tells of a problem with `words` in it; what it tells."""
    return _wait(server, lambda card: words in (card["problem"] or ""), f"no problem {words!r} was told")


def _wait(server: Server, met: Callable[[dict[str, Any]], bool], failure: str) -> dict[str, Any]:
    over = threading.Event()
    for _ in range(240):
        card: dict[str, Any] = httpx.get(f"{server.address}/model", timeout=30).json()
        if met(card):
            return card
        over.wait(0.25)
    raise AssertionError(f"{failure} within a minute: {server.lines()[-5:]}")
