"""The service over raw sockets: what is no HTTP, limits before any work, and slow connections."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.support.raw import RawConnection, ask, post
from tests.support.servers import Server, serving

pytestmark = pytest.mark.slow

HOST = b"Host: localhost\r\n"
TEXT = b'{"text": "The striker scored twice."}'
SECRET = "John Smith, born 1970"


@pytest.fixture(scope="module")
def server(bundle, tmp_path_factory) -> Iterator[Server]:
    """A service with short times and small limits."""
    settings = {
        "MODEL_URI": str(bundle),
        "IDLE_SECONDS": "1",
        "REQUEST_TIMEOUT": "20",
        "MAX_TEXT_CHARS": "200000",
        "MAX_CONNECTIONS": "40",
        "MAX_INFLIGHT_BYTES": "9000000",
        "CORS_ORIGINS": "https://app.example.org",
        "ALLOWED_HOSTS": "news.example.org,*.example.com",
    }
    with serving(tmp_path_factory.mktemp("connections"), settings) as running:
        yield running


def rss(server: Server) -> int:
    """Resident bytes of the service."""
    return int(psutil.Process(server.process.pid).memory_info().rss)


# -- what is no request ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "request_",
    [
        b"nonsense\r\n\r\n",
        b"GET /livez\r\n\r\n",
        b"GET /livez HTTP/3.7\r\n" + HOST + b"\r\n",
        b"get /livez HTTP/1.1\r\n" + HOST + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT example.org:443 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET /livez HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nX y: z\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nX: a\r\n folded\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET livez HTTP/1.1\r\n" + HOST + b"\r\n",
        b"POST /classify HTTP/1.1\r\n" + HOST + b"Content-Length: five\r\n\r\n12345",
        b"POST /classify HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"POST /classify HTTP/1.1\r\n" + HOST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
        b"POST /classify HTTP/1.1\r\n"
        + HOST
        + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /classify HTTP/1.1\r\n"
        + HOST
        + b"Transfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\nzz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_is_no_http_has_the_contracts_shape(server, request_):
    answer = ask(server, request_)
    assert answer.status == 400
    assert answer.error["code"] == "invalid_http"
    assert answer.headers["connection"] == "close"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_protocol_errors_are_counted_and_logged_with_the_id(server):
    def counted() -> float:
        text = ask(server, b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n").body.decode()
        found = re.search(
            r'bentoml_service_request_total\{endpoint="other",http_response_code="400"[^}]*\} ([0-9.]+)', text
        )
        return float(found[1]) if found else 0.0

    before = counted()
    answer = ask(server, b"GET /livez HTTP/1.1\r\nX-Request-Id: broken-one\r\nHost: x\r\nbroken\r\n\r\n")
    assert answer.error["request_id"] == "broken-one"
    assert counted() == before + 1
    events = [json.loads(line) for line in server.lines() if line.startswith("{")]
    (event,) = [event for event in events if event.get("request_id") == "broken-one"]
    assert (event["event"], event["status"], event["error"]) == ("request", 400, "invalid_http")


def test_trailers_are_refused(server):
    head = (
        b"POST /classify HTTP/1.1\r\n"
        + HOST
        + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    whole = head + b"%x\r\n%s\r\n" % (len(TEXT), TEXT)
    assert ask(server, whole + b"0\r\n\r\n").status == 200
    answer = ask(server, whole + b"0\r\nX-Trailer: a\r\n\r\n")
    assert (answer.status, answer.error["code"]) == (400, "trailers_refused")
    with RawConnection(server) as connection:
        connection.send(head)
        connection.send(b"%x;" % len(TEXT))
        connection.send(b"a" * 200_000)  # a chunk's extension, which has no end
        answer = connection.answer()
    assert (answer.status, answer.error["code"]) == (431, "headers_too_large")


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket"])
def test_another_protocol_is_not_taken_and_the_body_not_lost(server, protocol):
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: " + protocol + b"\r\nHTTP2-Settings: AA\r\n"
    request = post("/classify", TEXT).replace(HOST, HOST + upgrade)
    assert ask(server, request).status == 200
    assert (
        ask(server, b"GET /classify HTTP/1.1\r\n" + HOST + upgrade + b"\r\n").error["code"]
        == "method_not_allowed"
    )


def test_pipelined_requests_are_answered_in_order_and_bounded(server):
    with RawConnection(server) as connection:
        connection.send(
            post("/classify", TEXT) + b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n" + b"nonsense\r\n\r\n"
        )
        assert [connection.answer().status for _ in range(3)] == [200, 200, 400]
    with RawConnection(server) as connection:
        connection.send(post("/classify", TEXT) * 30)
        statuses = [connection.answer().status for _ in range(10)]
        assert statuses == [200] * 9 + [400]
        assert connection.closed()


def test_bentoml_serves_through_the_same_protocol(bundle, tmp_path):
    with serving(tmp_path, {"MODEL_URI": str(bundle)}, supervised=True) as server:
        assert ask(server, b"nonsense\r\n\r\n").error["code"] == "invalid_http"
        assert ask(server, b"GET /livez?" + b"a" * 100_000).error["code"] == "address_too_long"
        assert ask(server, post("/classify", TEXT)).status == 200


# -- limits ------------------------------------------------------------------------------------------------------------


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


def test_a_large_body_keeps_nobody_waiting(server):
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
        answer = second.answer() if _readable(second, 0.9) else first.answer()
        assert (answer.status, answer.error["code"]) == (503, "too_many_bytes")
        assert int(answer.headers["retry-after"]) >= 1
        assert ask(server, post("/classify", TEXT)).status == 200
    _until(lambda: _inflight(server) == 0)


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
    _until(lambda: ask(server, b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n").status == 200)


# -- time --------------------------------------------------------------------------------------------------------------


def test_idle_connections_are_closed(server):
    with RawConnection(server) as silent, RawConnection(server) as kept:
        kept.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
        assert kept.answer().status == 200
        assert silent.closed()
        assert kept.closed()


def test_a_slow_head_or_body_is_408(server):
    with RawConnection(server) as head, RawConnection(server) as body, RawConnection(server) as unread:
        head.send(b"GET /livez HTTP/1.1\r\nX-Request-Id: slow-one\r\nX:")
        body.send(post("/classify", TEXT)[:-5])
        unread.send(b"POST /nothing HTTP/1.1\r\n" + HOST + b"Content-Length: 100\r\n\r\na")
        for connection in (head, body):
            answer = connection.answer()
            assert (answer.status, answer.error["code"]) == (408, "request_timeout")
            assert answer.headers["connection"] == "close"
            assert connection.closed()
        answer = unread.answer()
        assert (answer.status, answer.headers["connection"]) == (404, "close")
        assert unread.closed()


def test_a_client_that_does_not_read_is_cut_off(server):
    with RawConnection(server, receive_buffer=4096) as connection:
        request = b"GET /ui/swagger-ui-bundle.js HTTP/1.1\r\n" + HOST + b"\r\n"
        connection.send(request * 6)  # the kernel takes some megabytes that no one reads
        time.sleep(4)  # IDLE_SECONDS is 1
        received = 0
        try:
            while data := connection.socket.recv(65536):
                received += len(data)
        except ConnectionResetError:
            pass
        assert received < 6 * 1_400_000


@pytest.mark.parametrize("supervised", [False, True])
def test_stalled_clients_do_not_delay_the_shutdown(bundle, tmp_path, supervised):
    with (
        serving(tmp_path, {"MODEL_URI": str(bundle)}, supervised=supervised) as server,
        RawConnection(server, receive_buffer=4096) as unread,
        RawConnection(server) as half,
        RawConnection(server) as idle,
        RawConnection(server) as head,
    ):
        unread.send((b"GET /ui/swagger-ui-bundle.js HTTP/1.1\r\n" + HOST + b"\r\n") * 6)
        half.send(post("/classify", TEXT)[:-5])
        idle.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
        assert idle.answer().status == 200
        head.send(b"GET /livez HTTP/1.1\r\n")
        server.process.send_signal(signal.SIGTERM)
        assert half.answer().error["code"] == "shutting_down"
        server.process.wait(timeout=20)  # REQUEST_TIMEOUT and IDLE_SECONDS are 30
        assert server.process.returncode == 0


# -- names, origins, methods -------------------------------------------------------------------------------------------


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


# -- helpers -----------------------------------------------------------------------------------------------------------


def _inflight(server: Server) -> float:
    text = ask(server, b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n").body.decode()
    found = re.search(r"champion_inflight_bytes ([0-9.e+]+)", text)
    assert found
    return float(found[1])


def _readable(connection: RawConnection, seconds: float) -> bool:
    connection.socket.settimeout(seconds)
    try:
        connection._more()
    except TimeoutError:
        return False
    finally:
        connection.socket.settimeout(60)
    return True


def _until(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)


def test_an_answer_is_written_in_one_piece_with_all_headers(server):
    """Small answers bypass uvicorn's messages; large pages, HEAD and HTTP/1.0 do not."""
    names = {
        request: set(
            ask(
                server,
                f"{request}\r\nHost: localhost\r\n\r\n".encode(),
                head=request.startswith("HEAD"),
            ).headers
        )
        for request in (
            "GET /livez HTTP/1.1",
            "HEAD /livez HTTP/1.1",
            "GET /livez HTTP/1.0",
            "GET /ui HTTP/1.1",
        )
    }
    usual = names["GET /livez HTTP/1.1"]
    assert {"date", "content-length", "content-type", "x-request-id", "x-frame-options"} <= usual
    assert names["HEAD /livez HTTP/1.1"] == usual
    assert names["GET /livez HTTP/1.0"] == usual | {"connection"}
    assert names["GET /ui HTTP/1.1"] == usual
