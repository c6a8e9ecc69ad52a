"""Asks a running service what a user would, with nothing but the standard library: `python deploy/probe.py URL`.

Waits for /readyz, classifies, sends feedback, and prints how long the start took. Exit 1 says what was wrong. The
requests have the source `probe`, which monitoring does not count.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from typing import Any

PATIENCE = 120.0
"""Seconds that a start may take."""


def ask(url: str, body: object = None) -> Any:
    """GET `url`, or POST `body` to it as JSON; the answer, parsed."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", "X-Source": "probe"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        content = answer.read()
    return json.loads(content) if answer.headers.get_content_type() == "application/json" else content


def wait_until_ready(service: str) -> float:
    """Seconds until /readyz answers 200."""
    began = time.monotonic()
    while True:
        try:
            ask(f"{service}/readyz")
            return time.monotonic() - began
        except (OSError, urllib.error.HTTPError) as error:
            if time.monotonic() - began > PATIENCE:
                raise SystemExit(f"not ready after {PATIENCE:.0f} s: {error}") from None
            time.sleep(0.1)


def main(service: str) -> None:
    """Probe the service at `service`."""
    start = wait_until_ready(service)
    model = ask(f"{service}/model")
    answer = ask(f"{service}/classify", {"text": ["Shares fell in London.", "A late goal won the final."]})
    for prediction in answer["predictions"]:
        total = sum(score["score"] for score in prediction["scores"])
        if abs(total - 1) > 1e-3 or prediction["label"] not in model["labels"]:
            raise SystemExit(f"a wrong answer: {prediction}")
    first = answer["predictions"][0]
    accepted = ask(f"{service}/feedback", {"feedback": [{"id": first["id"], "label": first["label"]}]})
    if accepted["accepted"] != 1:
        raise SystemExit(f"feedback was not accepted: {accepted}")
    labels = ", ".join(prediction["label"] for prediction in answer["predictions"])
    print(f"ready after {start:.1f} s, answered {labels}, feedback accepted")


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"))
