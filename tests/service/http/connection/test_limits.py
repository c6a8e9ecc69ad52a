"""Limits before any work: heads, bodies, bodies in flight, connections."""

from __future__ import annotations

import psutil
import pytest

from tests.service.http.connection.conftest import HOST, TEXT, inflight, readable, rss, until
from tests.support.raw import RawConnection, ask, post

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414, "address_too_long"),
        (b"GET /livez?" + b"a" * 1_000_000, 414, "address_too_long"),
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 40_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 1_000_000, 431, "headers_too_large"),
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"a" * 1_000_000, 431, "headers_too_large"),
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 120 + b"\r\n", 431, "headers_too_large"),
        (b"GET /livez HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 100_000, 431, "headers_too_large"),
        (post("/classify", TEXT)[:80] + b"1" * 18 + b"\r\n\r\n", 413, "body_too_large"),
    ],
)  # fmt: skip
def test_limits_are_looked_at_first(server, request_, status, code):
    if status == 413:
        request_ = post("/classify", b"").replace(b"Content-Length: 0", b"Content-Length: 99999999")
    with RawConnection(server) as connection:
        connection.send(request_)
        answer = connection.answer()
    assert (answer.status, answer.error["code"]) == (status, code)


def test_headers_without_end_cost_no_memory(server):
    before = rss(server)
    for _ in range(5):
        with RawConnection(server) as connection:
            connection.send(b"GET /livez HTTP/1.1\r\n" + HOST)
            while connection.send(b"X-Much: " + b"a" * 8_000 + b"\r\n"):
                if rss(server) > before + 50_000_000:
                    break
    assert rss(server) < before + 20_000_000


@pytest.mark.parametrize(
    ("path", "body", "code", "field"),
    [
        ("/feedback", b'{"feedback": [' + b",".join([b"{}"] * 2_000_000) + b"]}", "too_many_items", "feedback"),
        ("/classify", b'{"text": [' + b",".join([b'""'] * 2_000_000) + b"]}", "too_many_texts", "text"),
        ("/classify", b'{"text": ["a", "' + b"w " * 4_000_000 + b'"]}', "text_too_long", "text[1]"),
        ("/classify", b'{"text": ["a", "' + b"w " * 150_000 + b'"]}', "text_too_long", "text[1]"),
        ("/classify", b"{" + b",".join(b'"%d": 1' % n for n in range(500_000)) + b"}", "too_many_values", None),
    ],
    ids=["items", "texts", "endless text", "long text", "keys"],
)  # fmt: skip
def test_a_large_body_costs_what_its_bytes_cost(server, path, body, code, field):
    ask(server, post(path, body))  # memory that is kept for the next one
    before = rss(server)
    started = psutil.Process(server.process.pid).cpu_times()
    answer = ask(server, post(path, body))
    ended = psutil.Process(server.process.pid).cpu_times()
    assert answer.status == 422
    assert (answer.error["code"], answer.error["field"]) == (code, field)
    assert rss(server) < before + 40_000_000
    assert ended.user + ended.system - started.user - started.system < 5  # 19 s before there were limits


def test_a_large_body_does_not_delay_other_requests(server):
    """While one of 8 MB is read, refused or classified, probes are answered on another connection."""
    with RawConnection(server) as large, RawConnection(server) as probe:
        large.send(post("/classify", b'{"text": ["' + b"word " * 20_000 + b'"]}'))
        for _ in range(5):
            probe.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
            assert probe.answer().status == 200
        assert large.answer().status == 200


def test_bodies_in_flight_are_bounded_and_small_ones_answered(server):
    part = b'{"text": ["' + b"a" * 5_000_000
    head = post("/classify", b"").replace(b"Content-Length: 0", b"Content-Length: 8000000")
    with RawConnection(server) as first, RawConnection(server) as second:
        first.send(head + part)
        second.send(head + part)
        answer = second.answer() if readable(second, 0.9) else first.answer()
        assert (answer.status, answer.error["code"]) == (503, "too_many_bytes")
        assert int(answer.headers["retry-after"]) >= 1
        assert ask(server, post("/classify", TEXT)).status == 200
    until(lambda: inflight(server) == 0)


def test_connections_are_bounded_and_idle_ones_make_room(server):
    held = []
    try:
        for _ in range(40):
            held.append(RawConnection(server))
            held[-1].send(b"GET /livez HTTP/1.1\r\n")
        refused = RawConnection(server)
        held.append(refused)
        answer = refused.answer()
        assert (answer.status, answer.error["code"]) == (503, "too_many_connections")
    finally:
        for connection in held:
            connection.socket.close()
    until(lambda: ask(server, b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n").status == 200)
