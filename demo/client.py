"""What a client of the service does: classify texts, and later say what was true."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import httpx
from rich.progress import track

from demo.traffic import Labelled

_TEXTS_PER_REQUEST = 8
_SWAP_SECONDS = 30.0
"""Several polls of the registry, and the load of a model."""


def classify(address: str, texts: Sequence[str], *, source: str = "api") -> dict[str, Any]:
    """The service's answer for texts; monitoring counts those of the source `api`."""
    body, headers = {"text": list(texts)}, {"X-Source": source}
    response = httpx.post(f"{address}/classify", json=body, headers=headers, timeout=60)
    response.raise_for_status()
    answer: dict[str, Any] = response.json()
    return answer


def send(address: str, traffic: Sequence[Labelled], *, label_every: int, title: str) -> float:
    """Classify `traffic`, and give feedback for every `label_every`-th text; returns the accuracy on all of it."""
    correct = 0
    for start in track(range(0, len(traffic), _TEXTS_PER_REQUEST), description=title):
        part = traffic[start : start + _TEXTS_PER_REQUEST]
        predictions = classify(address, [item.text for item in part])["predictions"]
        correct += sum(answer["label"] == item.label for answer, item in zip(predictions, part, strict=True))
        labels = [
            {"id": answer["id"], "label": item.label}
            for position, (answer, item) in enumerate(zip(predictions, part, strict=True), start)
            if position % label_every == 0
        ]
        if labels:
            httpx.post(f"{address}/feedback", json={"feedback": labels}, timeout=60).raise_for_status()
    return correct / len(traffic)


def version_after(address: str, before: str) -> str:
    """The version that is served once the service had the time to follow a promotion; `before` where there was none."""
    deadline = time.monotonic() + _SWAP_SECONDS
    while (version := str(served_model(address)["version"])) == before and time.monotonic() < deadline:
        time.sleep(0.5)
    return version


def served_model(address: str) -> dict[str, Any]:
    """The service's description of the model that it serves."""
    response = httpx.get(f"{address}/model", timeout=10)
    response.raise_for_status()
    card: dict[str, Any] = response.json()
    return card
