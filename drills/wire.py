"""HTTP/1.1 over plain sockets: bytes that no client library would send, and what comes back, read strictly."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

HOST = "127.0.0.1"


class NotHttp(Exception):
    """What came back is not an HTTP/1.1 answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer."""

    status: int
    headers: dict[str, str]
    """By names in lower case."""
    body: bytes

    def json(self) -> Any:
        """The body as JSON; ValueError if it is none."""
        return json.loads(self.body)


class Connection:
    """One connection to a port on loopback.

    Args:
        port: of the server.
        timeout: seconds to wait for it at a time.
        receive_bytes: size of the buffer for what it sends; None: what the system takes.
    """

    def __init__(self, port: int, *, timeout: float = 30.0, receive_bytes: int | None = None) -> None:
        self._socket = socket.socket()
        self._socket.settimeout(timeout)
        if receive_bytes is not None:  # before connecting: it decides the window that is offered
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        try:
            self._socket.connect((HOST, port))
        except OSError:
            self._socket.close()
            raise
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        self._socket.sendall(data)

    def answer(self, *, head: bool = False) -> Answer | None:
        """The next answer; None where the connection was closed or reset before its first byte.

        Args:
            head: whether it answers a HEAD request, so that it has no body.

        Raises:
            NotHttp: it is no HTTP answer, or ends in the middle.
            TimeoutError: nothing came in time.
        """
        while b"\r\n\r\n" not in self._buffer:
            piece = self._received()
            if not piece:
                if self._buffer:
                    raise NotHttp(f"an answer that ends after {self._buffer[:80]!r}")
                return None
            self._buffer += piece
        raw, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        lines = raw.decode("latin-1").split("\r\n")
        version, _, rest = lines[0].partition(" ")
        if version not in ("HTTP/1.1", "HTTP/1.0") or not rest[:3].isdigit():
            raise NotHttp(f"a status line {lines[0][:80]!r}")
        headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise NotHttp(f"a header {line[:80]!r}")
            headers[name.lower()] = value.strip()
        status = int(rest[:3])
        if status == 100:
            return self.answer(head=head)
        return Answer(status, headers, b"" if head or status in (204, 304) else self._body(headers))

    def _body(self, headers: dict[str, str]) -> bytes:
        if "content-length" in headers:
            return self._exactly(int(headers["content-length"]))
        body = b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int(self._line().split(b";")[0], 16):
                body += self._exactly(size)
                self._line()
            self._line()
            return body
        while piece := self._received():
            self._buffer += piece
        body, self._buffer = self._buffer, b""
        return body

    def _line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _exactly(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        body, self._buffer = self._buffer[:count], self._buffer[count:]
        return body

    def _more(self) -> None:
        piece = self._received()
        if not piece:
            raise NotHttp("an answer that ends in its body")
        self._buffer += piece

    def _received(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            return b""

    def get(self, path: str) -> Answer:
        """A GET; ConnectionError where there is no answer."""
        return self._exchange(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())

    def post(self, path: str, content: object) -> Answer:
        """A POST of JSON; ConnectionError where there is no answer."""
        return self._exchange(request(path, json.dumps(content).encode()))

    def _exchange(self, data: bytes) -> Answer:
        self.send(data)
        answer = self.answer()
        if answer is None:
            raise ConnectionError("closed without an answer")
        return answer


def request(path: str, body: bytes, *, headers: bytes = b"") -> bytes:
    """The bytes of a POST of JSON; `headers` are further lines, each with its end."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n".encode()
        + headers
        + f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )


def contract_fault(answer: Answer, *, head: bool = False) -> str | None:
    """Where an answer is outside the contract's shape; None: it is inside."""
    if "x-request-id" not in answer.headers:
        return f"{answer.status} without X-Request-Id"
    if answer.status < 400:
        return None
    if answer.headers.get("content-type") != "application/json":
        return f"{answer.status} with content type {answer.headers.get('content-type')!r}"
    if head:
        return None
    try:
        error = answer.json()["error"]
        if set(error) != {"code", "message", "field", "request_id"}:
            return f"{answer.status} with the fields {sorted(error)}"
        if error["request_id"] != answer.headers["x-request-id"]:
            return f"{answer.status} whose two request ids differ"
    except (ValueError, KeyError, TypeError) as problem:
        return f"{answer.status} with a body of another shape: {type(problem).__name__}"
    return None
