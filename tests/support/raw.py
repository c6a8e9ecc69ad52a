"""HTTP over raw sockets: requests that no client library would send, and what comes back, byte by byte."""

from __future__ import annotations

import json
import socket
import time
from dataclasses import dataclass
from typing import Any

from tests.support.servers import Server


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """One response."""

    status: int
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        """The error that it holds."""
        content = json.loads(self.body)
        assert set(content) == {"error"}
        error: dict[str, Any] = content["error"]
        assert set(error) == {"code", "message", "field", "request_id"}
        assert error["request_id"] == self.headers["x-request-id"]
        assert self.headers["content-type"] == "application/json"
        return error


class RawConnection:
    """One connection to a server; close it with `with`."""

    def __init__(self, server: Server, *, receive_buffer: int | None = None) -> None:
        host, _, port = server.address.removeprefix("http://").rpartition(":")
        self.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(60)
        self.socket.connect((host, int(port)))
        self._left = b""

    def __enter__(self) -> RawConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> bool:
        """Send everything; False if the server has closed meanwhile."""
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def answer(self, *, head: bool = False) -> RawAnswer:
        """The next response, with the body that its Content-Length announces; none for a HEAD request."""
        while b"\r\n\r\n" not in self._left:
            self._more()
        lines, _, self._left = self._left.partition(b"\r\n\r\n")
        first, *fields = lines.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        assert first.startswith("HTTP/1.1 ")
        status = int(first.split(" ")[1])
        length = 0 if head or status in (204, 304) else int(headers["content-length"])
        while len(self._left) < length:
            self._more()
        body, self._left = self._left[:length], self._left[length:]
        return RawAnswer(status, headers, body)

    def closed(self, seconds: float = 30) -> bool:
        """Whether the server closes within that time; what it sends before is dropped."""
        self.socket.settimeout(1)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if not self.socket.recv(65536):
                    return True
            except TimeoutError:
                continue
            except ConnectionResetError:
                return True
        return False

    def _more(self) -> None:
        data = self.socket.recv(65536)
        assert data, f"the server closed; it had sent {self._left[:200]!r}"
        self._left += data


def ask(server: Server, request: bytes, *, head: bool = False) -> RawAnswer:
    """The answer to `request` on a new connection."""
    with RawConnection(server) as connection:
        connection.send(request)
        return connection.answer(head=head)


def post(path: str, body: bytes, *headers: str) -> bytes:
    """A request with a JSON body."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        *headers,
        f"Content-Length: {len(body)}",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
