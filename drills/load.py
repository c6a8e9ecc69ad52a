"""More requests than the service can answer, and very many that it can."""

from __future__ import annotations

import asyncio
import json
import statistics
import threading
import time
from collections import Counter
from collections.abc import Sequence

import psutil

from drills.champion import articles, bundle, short_texts
from drills.processes import serving
from drills.registry import Bench, Outcome, drill
from drills.wire import HOST, Connection, request

_FACTOR = 5
_GOODPUT = 0.9
_ROUNDS = 5
_GROWTH = 0.05
_TEXTS = 20
"""Long texts of one request of the overload drill: computing them must cost more than refusing them."""


class _Pool:
    """Connections of an event loop; each carries one request at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def exchange(self, raw: bytes) -> int:
        """Status of the answer; 0: there was none."""
        try:
            reader, writer = (
                self._idle.pop() if self._idle else await asyncio.open_connection(HOST, self._port)
            )
            writer.write(raw)
            await writer.drain()
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
        except (OSError, asyncio.IncompleteReadError, IndexError):
            return 0
        if b"connection: close" in head:
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(head.split(b" ")[1])

    def close(self) -> None:
        """Close what is idle."""
        for _, writer in self._idle:
            writer.close()


async def _closed_loop(port: int, bodies: Sequence[bytes], clients: int, seconds: float) -> float:
    """Good answers a second of clients that each wait for their answer."""
    pool, end, good = _Pool(port), time.monotonic() + seconds, 0

    async def client(number: int) -> None:
        nonlocal good
        turn = number
        while time.monotonic() < end:
            status = await pool.exchange(bodies[turn % len(bodies)])
            good += status == 200  # not in one statement: `good` would be read before the wait
            turn += clients

    began = time.monotonic()
    await asyncio.gather(*(client(number) for number in range(clients)))
    pool.close()
    return good / (time.monotonic() - began)


async def _open_loop(
    port: int, bodies: Sequence[bytes], rate: float, seconds: float
) -> list[tuple[int, float]]:
    """Status and seconds of each of `rate` requests a second, sent whether or not others are answered."""
    pool, found, tasks = _Pool(port), list[tuple[int, float]](), set[asyncio.Task[None]]()

    async def one(raw: bytes) -> None:
        began = time.monotonic()
        status = await pool.exchange(raw)
        found.append((status, time.monotonic() - began))

    began, sent = time.monotonic(), 0
    while (now := time.monotonic() - began) < seconds:
        while sent < now * rate:
            task = asyncio.create_task(one(bodies[sent % len(bodies)]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
        await asyncio.sleep(0.002)
    if tasks:
        await asyncio.wait(tasks, timeout=60)
    found += [(0, float("inf"))] * len(tasks)
    pool.close()
    return found


@drill(
    "load.overload",
    promise="At five times capacity, goodput is at least 90 % of capacity, and all else is refused with 429 or 503.",
    limit=240,
)
def overload(bench: Bench) -> Outcome:
    """Measure capacity in a closed loop, offer five times as much, and so on in turns.

    The goodput of each round is held against the mean capacity before and after it, and the median of the rounds
    counts: the speed of a shared machine changes within seconds.
    """
    texts = [f"{turn} {text}" for turn in range(4) for text in articles(turn)[0]]
    groups = [texts[at : at + _TEXTS] for at in range(0, len(texts) - _TEXTS, _TEXTS)]
    bodies = [request("/classify", json.dumps({"text": group}).encode()) for group in groups]
    settings = {
        "MODEL_URI": str(bundle(bench)),
        "CACHE_BYTES": "0",
        "QUEUE_TEXTS": "1000",
        "THREADS": str(max(1, (psutil.cpu_count() or 2) - 1)),  # the client needs a core of this machine, too
    }
    rounds, found = [], list[tuple[int, float]]()
    with serving(bench.folder / "var", settings) as service:
        measuring, offering = bench.seconds(6, least=1), bench.seconds(12, least=2)
        asyncio.run(_closed_loop(service.port, bodies, 8, 2))
        capacities = [asyncio.run(_closed_loop(service.port, bodies, 8, measuring))]
        for _ in range(_ROUNDS):
            began = time.monotonic()
            answers = asyncio.run(_open_loop(service.port, bodies, _FACTOR * capacities[-1], offering))
            goodput = sum(status == 200 for status, _ in answers) / (time.monotonic() - began)
            capacities.append(asyncio.run(_closed_loop(service.port, bodies, 8, measuring)))
            rounds.append(goodput / statistics.mean(capacities[-2:]))
            found += answers
    statuses = Counter(status for status, _ in found)
    ratio = statistics.median(rounds)
    slowest = statistics.quantiles([took for status, took in found if status == 200] or [0.0, 0.0], n=100)[-1]
    faults = []
    if ratio < _GOODPUT:
        faults.append(
            f"goodput is {ratio:.0%} of the capacity, {min(rounds):.0%} to {max(rounds):.0%} by round"
        )
    if other := {status: count for status, count in statuses.items() if status not in (200, 429, 503)}:
        faults.append(f"other ends than 200, 429 and 503: {other} (0: no answer)")
    if capacities[-1] < 0.5 * capacities[0]:
        faults.append(f"afterwards only {capacities[-1]:.1f}/s are answered")
    figure = (
        f"capacity {min(capacities):.1f} to {max(capacities):.1f} requests/s of {_TEXTS} articles; {len(found):,} "
        f"offered in {_ROUNDS} rounds: goodput {ratio:.0%} of the capacity (median; {min(rounds):.0%} to "
        f"{max(rounds):.0%}), p99 of answers {slowest:.1f} s"
    )
    return Outcome(figure, faults)


@drill(
    "load.soak",
    promise="Over 100,000 requests memory grows by less than 5 % after the first tenth.",
    limit=420,
)
def soak(bench: Bench) -> Outcome:
    """Single cached texts over eight connections; resident memory of the service at a tenth and at the end."""
    total, clients = bench.count(100_000, least=2000), 8
    raws = [request("/classify", json.dumps({"text": text}).encode()) for text in short_texts(200)]
    statuses: Counter[int] = Counter()
    lock = threading.Lock()

    def run(port: int, requests: int) -> None:
        mine: Counter[int] = Counter()
        with Connection(port) as connection:
            for turn in range(requests):
                connection.send(raws[turn % len(raws)])
                answer = connection.answer()
                mine[answer.status if answer else 0] += 1
                if answer is None:
                    break
        with lock:
            statuses.update(mine)

    def send(port: int, requests: int) -> None:
        threads = [threading.Thread(target=run, args=(port, requests // clients)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    with serving(bench.folder / "var", {"MODEL_URI": str(bundle(bench))}) as service:
        began = time.monotonic()
        send(service.port, total // 10)
        early = service.resident_bytes()
        send(service.port, total - total // 10)
        late = service.resident_bytes()
        seconds = time.monotonic() - began
    growth = late / early - 1
    faults = []
    if growth >= _GROWTH:
        faults.append(f"memory grew by {growth:.1%}")
    if set(statuses) != {200}:
        faults.append(f"other ends than 200: {dict(statuses)} (0: no answer)")
    figure = (
        f"{sum(statuses.values()):,} requests in {seconds:.0f} s ({sum(statuses.values()) / seconds:,.0f}/s): "
        f"{early / 2**20:.0f} MiB after a tenth, {late / 2**20:.0f} MiB at the end ({growth:+.1%})"
    )
    return Outcome(figure, faults)
