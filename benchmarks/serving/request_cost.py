"""Processor time of one request, without the model: cached texts, with the prediction log, over kept connections.

::

    python -m benchmarks.serving.request_cost BUNDLE TEXTS.jsonl
    python -m benchmarks.serving.request_cost BUNDLE TEXTS.jsonl --against ../another-checkout --rounds 5

The service runs in one process with one thread; the clients run in this one. What is measured is user and system time
of the service's process, for all requests of a round, after each text was sent once. With `--against`, rounds of two
checkouts take turns, so that other work on the machine meets both.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import psutil

_DISTINCT = 200
_READY_SECONDS = 120.0


@contextmanager
def _service(checkout: Path, bundle: Path, settings: dict[str, str]) -> Iterator[tuple[int, psutil.Process]]:
    """A service of this checkout on a free port: its port and process."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as var:
        environment = {
            **os.environ,
            "PYTHONPATH": str(checkout),
            "VAR_DIR": var,
            "MODEL_URI": str(bundle),
            "THREADS": "1",
            "WORKERS": "1",
            "DRAIN_SECONDS": "0",
            **settings,
        }
        command = [sys.executable, "-m", "service", "serve", "--port", str(port)]
        with (Path(var) / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=checkout, env=environment, stdout=log, stderr=log)
            try:
                _wait(port)
                yield port, psutil.Process(process.pid)
            finally:
                process.terminate()
                process.wait(60)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(port: int) -> None:
    until = time.monotonic() + _READY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > until:
                raise
        time.sleep(0.1)


def _request(text: str) -> bytes:
    body = json.dumps({"text": text}).encode()
    head = (
        "POST /classify HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Accept: */*",
        "Accept-Encoding: gzip, deflate",
        "User-Agent: client",
    )
    return "".join(f"{line}\r\n" for line in (*head, "")).encode() + body


async def _send(port: int, requests: Sequence[bytes], clients: int) -> None:
    """Send the requests over `clients` connections; each must be answered with 200."""
    waiting = iter(requests)

    async def client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for request in waiting:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise click.ClickException(f"the service answered {head.decode('latin-1').splitlines()[0]}")
            length = next(
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            )
            await reader.readexactly(length)
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))


def _cost(
    port: int, process: psutil.Process, requests: Sequence[bytes], count: int, clients: int
) -> tuple[float, float]:
    """Milliseconds of processor time a request, and requests a second."""
    repeated = [requests[number % len(requests)] for number in range(count)]
    before, began = process.cpu_times(), time.monotonic()
    asyncio.run(_send(port, repeated, clients))
    seconds, after = time.monotonic() - began, process.cpu_times()
    used = after.user + after.system - before.user - before.system
    return 1000 * used / count, count / seconds


@click.command()
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("texts", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--requests", "count", default=3000, show_default=True, help="Requests of a round.")
@click.option("--rounds", default=5, show_default=True, help="Rounds; the median counts.")
@click.option(
    "--clients", default="1,16", show_default=True, help="Numbers of connections, one measured after another."
)
@click.option("--computed", is_flag=True, help="Without the cache: each text is computed.")
@click.option(
    "--against", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Another checkout."
)
def main(
    bundle: Path, texts: Path, count: int, rounds: int, clients: str, computed: bool, against: Path | None
) -> None:
    """Measure with BUNDLE and the field `text` of the lines of TEXTS."""
    lines = texts.read_text(encoding="utf-8").splitlines()[:_DISTINCT]
    requests = [_request(json.loads(line)["text"]) for line in lines]
    checkouts = [path.resolve() for path in (against, Path.cwd()) if path is not None]
    settings = {"CACHE_BYTES": "0"} if computed else {}
    numbers = [int(number) for number in clients.split(",")]
    found: dict[tuple[Path, int], list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for checkout in checkouts:
            with _service(checkout, bundle.resolve(), settings) as (port, process):
                asyncio.run(_send(port, requests, 1))
                for number in numbers:
                    figures = _cost(port, process, requests, count, number)
                    found.setdefault((checkout, number), []).append(figures)
    for number in numbers:
        for checkout in checkouts:
            costs, rates = zip(*found[checkout, number], strict=True)
            click.echo(
                f"{checkout.name}: {number} clients: {statistics.median(costs):.3f} ms of processor time a request "
                f"({min(costs):.3f} to {max(costs):.3f}), {statistics.median(rates):,.0f} requests/s"
            )


if __name__ == "__main__":
    main()
