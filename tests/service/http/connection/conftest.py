"""One service with short times and small limits for all files of this folder."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.support.raw import RawConnection, ask
from tests.support.servers import Server, serving

HOST = b"Host: localhost\r\n"
TEXT = b'{"text": "The striker scored twice."}'
SECRET = "John Smith, born 1970"


@pytest.fixture(scope="package")
def limited_server(bundle, tmp_path_factory) -> Iterator[Server]:
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


@pytest.fixture
def server(limited_server) -> Server:
    """The same, in the place of the service with usual limits."""
    return limited_server


def rss(server: Server) -> int:
    """Resident bytes of the service."""
    return int(psutil.Process(server.process.pid).memory_info().rss)


def inflight(server: Server) -> float:
    text = ask(server, b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n").body.decode()
    found = re.search(r"champion_inflight_bytes ([0-9.e+]+)", text)
    assert found
    return float(found[1])


def readable(connection: RawConnection, seconds: float) -> bool:
    connection.socket.settimeout(seconds)
    try:
        connection._more()
    except TimeoutError:
        return False
    finally:
        connection.socket.settimeout(60)
    return True


def until(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
