"""Requests that are made to cost memory: headers, bodies, many items, long texts, all at once."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from random import Random

from drills.champion import bundle, short_texts
from drills.processes import Service, serving
from drills.registry import Bench, Outcome, drill
from drills.wire import HOST, Connection, NotHttp, request

_PROMISED_MIB = 600
"""What the service may take above what it takes at rest, with default limits and a small classical champion."""
_BODY = 8 * 1024 * 1024 - 64
"""Just below the default of MAX_BODY_BYTES."""
_CLIENTS = 16


def _hostile() -> dict[str, bytes]:
    empty = b'{"feedback": [' + b"{}," * (_BODY // 3 - 20) + b"{}]}"
    deep = b'{"text": ' + b"[" * 1_000_000 + b"]" * 1_000_000 + b"}"
    head = f"GET / HTTP/1.1\r\nHost: {HOST}\r\n".encode()
    return {
        "one endless header": head + b"X-A: " + b"a" * (20 * 1024 * 1024),
        "many headers": head + b"".join(b"X-%d: %s\r\n" % (number, b"v" * 1000) for number in range(20_000)),
        "an endless address": b"GET /" + b"a" * (20 * 1024 * 1024),
        "feedback of empty items": request("/feedback", empty),
        "one long text": request("/classify", json.dumps({"text": "word " * (_BODY // 5 - 20)}).encode()),
        "many short texts": request("/classify", b'{"text": [' + b'"a",' * (_BODY // 4 - 20) + b'"a"]}'),
        "a thousand long texts": request("/classify", json.dumps({"text": ["word " * 1500] * 1000}).encode()),
        "deep nesting": request("/classify", deep),
        "many keys": request(
            "/classify", json.dumps({f"k{number}": 0 for number in range(400_000)}).encode()
        ),
        "half a body": request("/classify", b'{"text": "' + b"a" * _BODY)[:-1000],
    }


@contextmanager
def _peak(service: Service) -> Iterator[list[int]]:
    """The highest resident memory while the block runs, in a list of one number of bytes."""
    highest, ended = [service.resident_bytes()], threading.Event()

    def look() -> None:
        while not ended.wait(0.05):
            highest[0] = max(highest[0], service.resident_bytes())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield highest
    finally:
        ended.set()
        thread.join()


@drill(
    "memory.hostile_mix",
    promise=f"Under any mix of requests memory stays within {_PROMISED_MIB} MiB above rest (default limits).",
    limit=240,
)
def hostile_mix(bench: Bench) -> Outcome:
    """Sixteen clients that send ten kinds of costly requests at random; good requests beside them."""
    kinds = _hostile()
    names = list(kinds)
    ends: Counter[str] = Counter()
    waits: list[float] = []
    lock = threading.Lock()
    text = short_texts(1)[0]
    with serving(bench.folder / "var", {"MODEL_URI": str(bundle(bench)), "IDLE_SECONDS": "3"}) as service:
        port, end = service.port, time.monotonic() + bench.seconds(40, least=5)

        def attack(number: int) -> None:
            drawn = Random(bench.seed + number)
            while time.monotonic() < end:
                raw, outcome = kinds[drawn.choice(names)], "no answer"
                with suppress(OSError, NotHttp), Connection(port, timeout=20) as connection:
                    with suppress(BrokenPipeError, ConnectionResetError):
                        connection.send(raw)
                    answer = connection.answer()
                    outcome = str(answer.status) if answer else "closed"
                with lock:
                    ends[outcome] += 1

        def ask() -> None:
            while time.monotonic() < end:
                began, good = time.monotonic(), False
                with suppress(OSError, NotHttp), Connection(port, timeout=30) as connection:
                    good = connection.post("/classify", {"text": text}).status in (200, 429, 503)
                waits.append(time.monotonic() - began if good else float("inf"))
                time.sleep(0.1)

        rest = service.resident_bytes()
        threads = [threading.Thread(target=attack, args=(number,)) for number in range(_CLIENTS)]
        threads.append(threading.Thread(target=ask))
        with _peak(service) as peak:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        time.sleep(3)
        after = service.resident_bytes()
        alive = service.get("/livez") == 200
    above = (peak[0] - rest) / 2**20
    faults = []
    if above > _PROMISED_MIB:
        faults.append(f"{above:.0f} MiB above rest")
    if not alive:
        faults.append("afterwards /livez is not 200")
    if unanswered := sum(wait == float("inf") for wait in waits):
        faults.append(f"{unanswered} of {len(waits)} good requests were not answered with 200, 429 or 503")
    counts = ", ".join(f"{count} × {name}" for name, count in sorted(ends.items()))
    figure = (
        f"{sum(ends.values()):,} requests ({counts}): "
        f"{rest / 2**20:.0f} MiB at rest, {peak[0] / 2**20:.0f} at the peak, {after / 2**20:.0f} afterwards; "
        f"good requests beside them took at most {max(waits, default=0):.1f} s"
    )
    return Outcome(figure, faults)
