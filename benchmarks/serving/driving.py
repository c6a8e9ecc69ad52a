"""Asking a server: closed loops, where so many clients each wait for an answer, and open ones at a fixed rate."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

import aiohttp
import numpy as np
from httptools import HttpParserError, HttpResponseParser

_TIMEOUT_SECONDS = 60.0
_TIMEOUT = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
_HEADERS = {"X-Source": "load"}
"""Monitoring and retraining do not count these requests; other servers ignore the header."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to ask, and how."""

    url: str
    body: Callable[[Any], Any]
    """An item, such as a text → the JSON that is sent for it."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What one loop saw."""

    answered: int
    failed: int
    seconds: float
    """From the first request to the last answer."""
    latencies: list[float]
    """Seconds of each answered request."""

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """Latency in milliseconds that this share of the answers stayed below; NaN without answers."""
        return float(np.percentile(self.latencies, 100 * share) * 1000) if self.latencies else float("nan")


async def closed(target: Target, items: Sequence[Any], clients: int, seconds: float) -> Observed:
    """`clients` that send one item after the other for `seconds`; requests in flight at the end are waited for.

    The client shares the cores with the server, so it is written to cost little: requests are encoded before the loop,
    and one takes about 0.01 ms of processor time.
    """
    address = urlsplit(target.url)
    host = address.hostname or "127.0.0.1"
    requests = [_request(address, target.body(item)) for item in items]
    loop, turn = asyncio.get_running_loop(), count()
    began = time.perf_counter()
    seen = _Seen(lambda: requests[next(turn) % len(requests)], began + seconds)

    async def client() -> None:
        while time.perf_counter() < seen.until:
            closing: asyncio.Future[None] = loop.create_future()
            try:
                await loop.create_connection(partial(_Connection, seen, closing), host, address.port or 80)
            except OSError:
                seen.failed += 1
                await asyncio.sleep(0.1)
                continue
            await closing

    tasks = [asyncio.create_task(client()) for _ in range(clients)]
    _, late = await asyncio.wait(tasks, timeout=seconds + _TIMEOUT_SECONDS)
    for task in late:
        task.cancel()
    return Observed(len(seen.latencies), seen.failed + len(late), time.perf_counter() - began, seen.latencies)


@dataclass(slots=True)
class _Seen:
    """What the connections of one closed loop share."""

    next_request: Callable[[], bytes]
    until: float
    """Value of `perf_counter` after which nothing more is sent."""
    latencies: list[float] = field(default_factory=list)
    failed: int = 0


class _Connection(asyncio.Protocol):
    """One client: sends a request, reads the answer, sends the next one."""

    def __init__(self, seen: _Seen, closing: asyncio.Future[None]) -> None:
        """`closing` is done when the connection is closed."""
        self._seen = seen
        self._closing = closing
        self._waiting = False
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except HttpParserError:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if self._waiting:
            self._seen.failed += 1
        if not self._closing.done():
            self._closing.set_result(None)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        now = time.perf_counter()
        self._waiting = False
        if self._parser.get_status_code() == 200:
            self._seen.latencies.append(now - self._sent)
        else:
            self._seen.failed += 1
        # Not from within the parser, which is about to be replaced.
        asyncio.get_running_loop().call_soon(
            self._send if self._parser.should_keep_alive() else self._transport.close
        )

    def _send(self) -> None:
        self._sent = time.perf_counter()
        if self._sent >= self._seen.until or self._transport.is_closing():
            self._transport.close()
            return
        self._parser = HttpResponseParser(self)
        self._waiting = True
        self._transport.write(self._seen.next_request())


def _request(address: SplitResult, body: Any) -> bytes:
    content = json.dumps(body).encode()
    head = [
        f"POST {address.path or '/'} HTTP/1.1",
        f"Host: {address.netloc}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        *(f"{name}: {value}" for name, value in _HEADERS.items()),
    ]
    return "\r\n".join([*head, "", ""]).encode() + content


async def opened(
    target: Target, texts: Sequence[str], rate: float, seconds: float, seed: int = 0
) -> Observed:
    """`rate` requests a second for `seconds`, at random moments, whether or not earlier ones have been answered.

    Latency counts from the moment a request was due, so a server that stalls is charged for all who waited.
    """
    chance = random.Random(seed)
    latencies: list[float] = []
    failures: list[str] = []
    async with _session(1000) as session:
        started = time.perf_counter()
        tasks, due, turn = [], started, 0
        while (due := due + chance.expovariate(rate)) < started + seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            text = texts[turn % len(texts)]
            tasks.append(asyncio.create_task(_ask(session, target, text, latencies, failures, since=due)))
            turn += 1
        await asyncio.gather(*tasks)
        return Observed(len(latencies), len(failures), time.perf_counter() - started, latencies)


async def answers(target: Target, texts: Sequence[str]) -> list[Any]:
    """The JSON of each text's answer, in order.

    Raises:
        aiohttp.ClientError: one could not be had.
    """
    async with _session(4) as session:
        found = []
        for text in texts:
            async with session.post(target.url, json=target.body(text)) as response:
                response.raise_for_status()
                found.append(await response.json(content_type=None))
        return found


async def statuses(target: Target, texts: Sequence[str], clients: int) -> list[tuple[int, str | None]]:
    """Each text's status and `Retry-After`, in order, asked by so many clients at a time; 0: the connection broke."""
    found: list[tuple[int, str | None]] = [(0, None)] * len(texts)
    turn = iter(enumerate(texts))

    async with _session(clients) as session:

        async def client() -> None:
            for place, text in turn:
                with suppress(TimeoutError, aiohttp.ClientError):
                    async with session.post(target.url, json=target.body(text)) as response:
                        await response.read()
                        found[place] = (response.status, response.headers.get("Retry-After"))

        await asyncio.gather(*(client() for _ in range(clients)))
    return found


def _session(connections: int) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections), timeout=_TIMEOUT, headers=_HEADERS
    )


async def _ask(
    session: aiohttp.ClientSession,
    target: Target,
    text: str,
    latencies: list[float],
    failures: list[str],
    since: float | None = None,
) -> None:
    started = time.perf_counter() if since is None else since
    try:
        async with session.post(target.url, json=target.body(text)) as response:
            await response.read()
            if response.status != 200:
                failures.append(str(response.status))
                return
    except (TimeoutError, aiohttp.ClientError) as error:
        failures.append(type(error).__name__)
        return
    latencies.append(time.perf_counter() - started)
