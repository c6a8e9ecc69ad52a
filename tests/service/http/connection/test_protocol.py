"""What is no HTTP/1.1 request of one body is refused in the contract's shape."""

from __future__ import annotations

import json
import re

import pytest

from tests.service.http.connection.conftest import HOST, TEXT
from tests.support.raw import RawConnection, ask, post
from tests.support.servers import serving

pytestmark = pytest.mark.slow


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
