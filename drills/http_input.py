"""Hostile requests over raw sockets: whatever is sent, what comes back has the contract's shape."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from drills.champion import bundle, short_texts
from drills.hostile_parts import CHUNKS, HEADERS, METHODS, PATHS, TYPES, VERSIONS
from drills.mutations import as_json, changed, damaged, one_of
from drills.processes import Service, serving
from drills.registry import Bench, Outcome, drill
from drills.wire import HOST, Connection, NotHttp, contract_fault, request

IDLE_SECONDS = 1.0
"""The setting under which connections that bring nothing more are closed."""
_PATIENCE = 15.0
"""Seconds after which a connection without an answer counts as left open."""
_CLIENTS = 24


def _valid(drawn: random.Random) -> tuple[str, object]:
    if drawn.random() < 0.5:
        return "/classify", {"text": drawn.choice(["Shares fell.", ["one text", "another"]]), "top_k": 2}
    return "/feedback", {"feedback": [{"id": f"{drawn.getrandbits(128):032x}", "label": "tech"}]}


def odd_content(drawn: random.Random) -> bytes:
    """A well framed request whose JSON has another shape."""
    path, content = _valid(drawn)
    for _ in range(drawn.randint(1, 3)):
        content = changed(content, drawn)
    return request(path, as_json(content))


def damaged_content(drawn: random.Random) -> bytes:
    """A well framed request whose body is damaged JSON, or no JSON."""
    path, content = _valid(drawn)
    body = damaged(as_json(content), drawn)
    if drawn.random() < 0.1:
        body = drawn.choice(
            (
                b"[" * 5000,
                b'{"a":' * 5000,
                b"\xef\xbb\xbf" + body,
                b"",
                b"NaN",
                b'{"text":"\\ud800"}',
                b"1" * 10_000,
            )
        )
    return request(path, body)


def odd_headers(drawn: random.Random) -> bytes:
    """A request with one to three odd headers, or another content type."""
    path, content = _valid(drawn)
    raw = request(path, as_json(content), headers=b"".join(drawn.sample(HEADERS, drawn.randint(1, 3))))
    if drawn.random() < 0.4:
        raw = raw.replace(b"application/json\r\n", drawn.choice(TYPES) + b"\r\n", 1)
    return raw


def odd_line(drawn: random.Random) -> bytes:
    """A request whose method, address or version is odd."""
    line = b" ".join((drawn.choice(METHODS), drawn.choice(PATHS), drawn.choice(VERSIONS)))
    return line + b"\r\nHost: " + HOST.encode() + b"\r\n\r\n"


def odd_chunks(drawn: random.Random) -> bytes:
    """A chunked request with broken chunks, extensions or trailers."""
    head = b"POST /classify HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    return head + drawn.choice(CHUNKS)


def damaged_request(drawn: random.Random) -> bytes:
    """A whole request with damaged bytes, the head included."""
    path, content = _valid(drawn)
    return damaged(request(path, as_json(content)), drawn)


_KINDS = (odd_content, odd_content, damaged_content, odd_headers, odd_line, odd_chunks, damaged_request)


def _try(port: int, raw: bytes) -> tuple[str, str | None]:
    """Send one case; the status or how it ended, and what is wrong with it."""
    head = raw.startswith(b"HEAD ")
    with Connection(port, timeout=_PATIENCE) as connection:
        try:
            connection.send(raw)
        except (BrokenPipeError, ConnectionResetError):
            pass  # refused before it was read whole: the answer may be there all the same
        except TimeoutError:
            return "not read", f"not read within {_PATIENCE:.0f} s: {raw[:100]!r}"
        try:
            answer = connection.answer(head=head)
        except TimeoutError:
            return "left open", f"no answer, and open for {_PATIENCE:.0f} s: {raw[:100]!r}"
        except (NotHttp, ValueError) as error:
            return "no HTTP", f"{error} to {raw[:100]!r}"
    if answer is None:
        empty = not raw.strip(b"\r\n")
        return "closed", None if empty else f"closed without an answer: {raw[:100]!r}"
    fault = contract_fault(answer, head=head)
    if answer.status == 500:
        fault = fault or "500"
    return str(answer.status), f"{fault} to {raw[:100]!r}" if fault else None


def _attack(service: Service, cases: Sequence[bytes]) -> tuple[Counter[str], list[str]]:
    with ThreadPoolExecutor(_CLIENTS) as clients:
        ends = list(clients.map(_try, itertools.repeat(service.port), cases))
    return Counter(end for end, _ in ends), [fault for _, fault in ends if fault]


@drill(
    "http_input.fuzz",
    promise="Every answer has the contract's shape, whatever bytes are sent; the service stays up.",
    limit=600,
)
def fuzz(bench: Bench) -> Outcome:
    """At least 10,000 requests with odd content, headers, lines, chunks and bytes."""
    drawn = bench.random()
    cases = [one_of(_KINDS, drawn) for _ in range(bench.count(10_500, least=70))]
    began = time.monotonic()
    with serving(
        bench.folder / "var", {"MODEL_URI": str(bundle(bench)), "IDLE_SECONDS": str(IDLE_SECONDS)}
    ) as service:
        ends, faults = _attack(service, cases)
        with Connection(service.port) as connection:
            answer = connection.post("/classify", {"text": short_texts(1)[0]})
        if answer.status != 200:
            faults.insert(0, f"afterwards a good request gets {answer.status}")
    seconds = time.monotonic() - began
    said = ", ".join(f"{count:,} × {end}" for end, count in sorted(ends.items()))
    figure = f"{len(cases):,} cases in {seconds:.0f} s: {said}; {len(faults):,} outside the contract"
    return Outcome(figure, faults)
