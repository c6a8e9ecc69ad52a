"""Hosts, origins and methods; nothing of a request comes back."""

from __future__ import annotations

import json

import pytest

from tests.service.http.connection.conftest import HOST, SECRET, TEXT
from tests.support.raw import RawConnection, ask, post

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("host", "answered"),
    [
        ("localhost", True),
        ("LOCALHOST:3000", True),
        ("127.0.0.1:1", True),
        ("[::1]", True),
        ("news.example.org", True),
        ("a.b.example.com:443", True),
        ("example.com", False),
        ("evil.example.net", False),
        ("news.example.org.evil.net", False),
        ("localhost.evil.net", False),
        ("localhost/livez?", False),
        ("user@localhost", False),
        ("", False),
    ],
)
def test_only_known_hosts_are_answered(server, host, answered):
    answer = ask(server, f"GET /livez HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert answer.status == (200 if answered else 400)
    if not answered:
        assert answer.error["code"] == "invalid_host"
        assert not host or host not in answer.body.decode()


def test_a_host_is_needed_once(server):
    assert ask(server, b"GET /livez HTTP/1.1\r\n\r\n").error["code"] == "invalid_host"
    assert ask(server, b"GET /livez HTTP/1.1\r\n" + HOST + HOST + b"\r\n").error["code"] == "invalid_host"
    assert ask(server, b"GET /livez HTTP/1.0\r\n\r\n").status == 200


def test_other_origins_are_told_what_they_may(server):
    def answer(method: str, origin: str, *more: str):
        lines = [f"{method} /classify HTTP/1.1", "Host: localhost", f"Origin: {origin}", *more]
        return ask(server, "\r\n".join(lines).encode() + b"\r\n\r\n")

    asks = ("Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type")
    known = answer("OPTIONS", "https://app.example.org", *asks)
    assert (known.status, known.body, known.headers["allow"]) == (204, b"", "POST, OPTIONS")
    assert known.headers["access-control-allow-origin"] == "https://app.example.org"
    assert "POST" in known.headers["access-control-allow-methods"]
    assert "content-type" in known.headers["access-control-allow-headers"].lower()
    assert "Origin" in known.headers["vary"]
    unknown = answer("OPTIONS", "https://evil.example.net", *asks)
    assert unknown.status == 204
    assert not [name for name in unknown.headers if name.startswith("access-control")]
    assert "Origin" in unknown.headers["vary"]
    refused = answer("GET", "https://app.example.org")
    assert refused.status == 405
    assert refused.headers["access-control-allow-origin"] == "https://app.example.org"


def test_head_and_options_of_every_route(server):
    description = json.loads(ask(server, b"GET /openapi.json HTTP/1.1\r\n" + HOST + b"\r\n").body)
    for path, operations in [*description["paths"].items(), ("/", {"get": {}}), ("/ui", {"get": {}})]:
        if "{" in path:
            continue
        options = ask(server, f"OPTIONS {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        allowed = set(options.headers["allow"].split(", "))
        assert options.status == 204
        assert allowed == {method.upper() for method in operations} | {"OPTIONS"} | (
            {"HEAD"} if "get" in operations else set()
        )
        with RawConnection(server) as connection:
            connection.send(f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = connection.answer(head=True)
            assert head.status == (200 if "get" in operations else 405)
            assert int(head.headers["content-length"]) > 0
            # Nothing of a body came: the next answer begins where this one ends.
            connection.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
            assert connection.answer().status == 200


def test_nothing_that_was_sent_comes_back(server):
    quoted = json.dumps(SECRET).encode()
    bodies = [
        ("/classify", b'{"text": "a", %s: 1}' % quoted),
        ("/classify", b'{%s: "a"}' % quoted),
        ("/classify", b'{"text": "a", "on_too_long": %s}' % quoted),
        ("/classify", b'{"text": "a", "top_k": %s}' % quoted),
        ("/classify", b'{"text": %s, "top_k": 0}' % quoted),
        ("/classify", b'{"text": "a" ' + SECRET.encode()),
        ("/classify", b"{%s: 1, %s: 2}" % (quoted, quoted)),
        ("/feedback", b'{"feedback": [{"id": "a", "label": %s}]}' % quoted),
        ("/feedback", b'{"feedback": [{"id": %s, "label": "tech"}]}' % quoted),
        ("/feedback", b'{"feedback": [{"id": "a", "label": "tech", %s: 1}]}' % quoted),
    ]
    requests = [post(path, body) for path, body in bodies]
    name = SECRET.replace(" ", "-")
    get = b"GET %s HTTP/1.1\r\n" + HOST + b"%s\r\n"
    requests += [
        get % (f"/{name}".encode(), b""),
        get % (f"/livez/{name}".encode(), b""),
        post("/classify", TEXT, f"X-Source: {SECRET}"),
        post("/classify", TEXT, f"X-Deadline-Ms: {SECRET}"),
        post("/classify", TEXT, f"Content-Encoding: {name}"),
        post("/classify", TEXT).replace(b"application/json", f"text/{name}".encode()),
        post("/classify", TEXT).replace(b"application/json", f"application/json; charset={name}".encode()),
        post("/classify", TEXT).replace(b"localhost", name.encode()),
        b"GET /livez HTTP/1.1\r\n" + SECRET.encode() + b"\r\n\r\n",
        SECRET.encode() + b"\r\n\r\n",
        get % (b"/model", f"X-Forwarded-Prefix: /{name}\r\nX-Request-Id: {SECRET}\r\n".encode()),
    ]
    for request in requests:
        answer = ask(server, request)
        assert answer.status >= 400 or request is requests[-1], request
        told = answer.body.decode() + str(answer.headers)
        assert "Smith" not in told, request
