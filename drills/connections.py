"""Connections that are slow, idle, many, or do not read: they end in time, and do not keep others waiting."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from drills.champion import bundle, short_texts
from drills.processes import Service, serving
from drills.registry import Bench, Outcome, drill
from drills.wire import Connection, NotHttp, contract_fault, request

_IDLE_SECONDS = 3.0
_MARGIN = 4.0
"""Seconds beyond IDLE_SECONDS within which a connection must be closed on a busy machine."""
_UNREAD_BYTES = 12 * 2**20
"""Bytes of answers that a client does not read; Linux holds 4 MiB of them for the sender."""
_BESIDE = 2.0
"""Longest that a good request may take beside the bad connections, seconds."""


@contextmanager
def _good_requests(port: int) -> Iterator[list[float]]:
    """Seconds of good requests that are sent in a thread meanwhile; infinity for one without a good answer."""
    seconds: list[float] = []
    ended = threading.Event()
    texts = short_texts(50)

    def run() -> None:
        for number in range(10**9):
            if ended.is_set():
                return
            began = time.monotonic()
            try:
                with Connection(port, timeout=20) as connection:
                    good = connection.post("/classify", {"text": texts[number % len(texts)]}).status == 200
            except (OSError, NotHttp):
                good = False
            seconds.append(time.monotonic() - began if good else float("inf"))
            ended.wait(0.1)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield seconds
    finally:
        ended.set()
        thread.join()


def _closed_after(connection: Connection) -> tuple[float, str | None]:
    """Seconds until the server closes, and what is wrong with what it says before."""
    began, fault = time.monotonic(), None
    try:
        while (answer := connection.answer()) is not None:
            fault = fault or contract_fault(answer)
    except TimeoutError:
        return float("inf"), None
    except (NotHttp, OSError) as error:
        fault = str(error)
    return time.monotonic() - began, fault


def _dripping(connection: Connection, data: bytes) -> None:
    """One byte each half second, until the server closes."""
    with suppress(OSError):
        for byte in data:
            connection.send(bytes([byte]))
            time.sleep(0.5)


@drill(
    "connections.slow",
    promise="Idle and slow connections are closed within IDLE_SECONDS, and others are answered meanwhile.",
    limit=120,
)
def slow(bench: Bench) -> Outcome:
    """Half a head, half a body, a head byte by byte, and nothing at all; many at a time."""
    each = bench.count(40, least=2)
    starts = {
        "nothing": b"",
        "half a head": b"POST /classify HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half",
        "half a body": request("/classify", b'{"text": "' + b"a" * 500)[:-300],
        "between two requests": b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    }
    faults: list[str] = []
    times: list[float] = []
    patience = _IDLE_SECONDS + _MARGIN
    settings = {"MODEL_URI": str(bundle(bench)), "IDLE_SECONDS": str(_IDLE_SECONDS)}
    with ExitStack() as stack:
        service = stack.enter_context(serving(bench.folder / "var", settings))
        seconds = stack.enter_context(_good_requests(service.port))
        dripping = stack.enter_context(Connection(service.port, timeout=patience))
        thread = threading.Thread(target=_dripping, args=(dripping, starts["half a head"] * 4), daemon=True)
        thread.start()
        began = time.monotonic()
        open_ = []
        for name, raw in starts.items():
            for _ in range(each):
                connection = stack.enter_context(Connection(service.port, timeout=patience))
                connection.send(raw)
                open_.append((name, connection))
        open_.append(("a head byte by byte", dripping))
        for name, connection in open_:
            took, fault = _closed_after(connection)
            times.append(time.monotonic() - began)
            if took == float("inf"):
                faults.append(f"{name}: still open after {patience:.0f} s more")
            if fault:
                faults.append(f"{name}: {fault}")
    faults += _waits(seconds)
    figure = (
        f"{len(open_)} connections closed within {max(times):.1f} s (IDLE_SECONDS={_IDLE_SECONDS:g}); "
        f"{_spread(seconds)} beside them"
    )
    return Outcome(figure, faults)


@drill(
    "connections.unread",
    promise="A client that does not read its answer keeps neither others nor the end of the service waiting.",
    limit=120,
)
def unread(bench: Bench) -> Outcome:
    """Clients that ask for more than the buffers between hold and read none of it, then SIGTERM."""
    ask = request("/classify", json.dumps({"text": short_texts(1000), "top_k": 5}).encode())
    faults: list[str] = []
    settings = {"MODEL_URI": str(bundle(bench)), "IDLE_SECONDS": str(_IDLE_SECONDS)}
    with ExitStack() as stack:
        service: Service = stack.enter_context(serving(bench.folder / "var", settings))
        with Connection(service.port) as connection:
            connection.send(ask)
            answer = connection.answer()
        if answer is None or answer.status != 200:
            return Outcome("no figure", ["a list of a thousand texts was not answered"])
        times = _UNREAD_BYTES // len(answer.body) + 1

        def deaf() -> Connection:
            client = stack.enter_context(Connection(service.port, receive_bytes=4096, timeout=1))
            with suppress(OSError):  # the service stops reading before it has taken all
                client.send(ask * times)
            return client

        with _good_requests(service.port) as seconds:
            clients = [deaf() for _ in range(bench.count(10, least=2))]
            time.sleep(2 * _IDLE_SECONDS)
        deaf()
        began = time.monotonic()
        service.stop()
        stopped = time.monotonic() - began
    if stopped > 10:
        faults.append(f"SIGTERM took {stopped:.1f} s")
    faults += _waits(seconds)
    return Outcome(
        f"{len(clients)} clients; {_spread(seconds)} beside them; SIGTERM took {stopped:.1f} s", faults
    )


def _waits(seconds: list[float]) -> list[str]:
    late = [took for took in seconds if took > _BESIDE]
    return (
        [f"{len(late)} of {len(seconds)} good requests took longer than {_BESIDE:g} s, or failed"]
        if late
        else []
    )


def _spread(seconds: list[float]) -> str:
    median = statistics.median(seconds)
    return f"{len(seconds)} good requests, median {median * 1000:.0f} ms, longest {max(seconds):.2f} s"
