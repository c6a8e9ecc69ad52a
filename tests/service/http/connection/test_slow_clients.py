"""Connections that idle, send slowly or do not read."""

from __future__ import annotations

import signal
import time

import pytest

from tests.service.http.connection.conftest import HOST, TEXT
from tests.support.raw import RawConnection, post
from tests.support.servers import serving

pytestmark = pytest.mark.slow


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
