"""Asking a server: closed loops, where so many clients each wait for an answer, and open ones at a fixed rate."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

import aiohttp
import numpy as np

_TIMEOUT = aiohttp.ClientTimeout(total=60)
_HEADERS = {"X-Source": "load"}
"""Monitoring and retraining do not count these requests; other servers ignore the header."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where to ask, and how."""

    url: str
    body: Callable[[str], Any]


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


async def closed(target: Target, texts: Sequence[str], clients: int, seconds: float) -> Observed:
    """`clients` that ask one text after the other for `seconds`; what is under way at the end is waited for."""
    turn, until = count(), time.perf_counter() + seconds
    latencies: list[float] = []
    failures: list[str] = []

    async with _session(clients) as session:

        async def client() -> None:
            while time.perf_counter() < until:
                await _ask(session, target, texts[next(turn) % len(texts)], latencies, failures)

        started = time.perf_counter()
        await asyncio.gather(*(client() for _ in range(clients)))
        return Observed(len(latencies), len(failures), time.perf_counter() - started, latencies)


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
