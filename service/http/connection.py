"""HTTP/1.1 on one connection, bounded in bytes and in time; protocol errors reach the application as requests.

uvicorn's protocol over httptools limits neither the size nor the number of headers, does not close a connection on
which nothing arrives, answers what it cannot parse with plain text, and waits without end for a client that does not
read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from functools import lru_cache
from typing import Any, Literal, cast

import httptools
import uvicorn.config
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from service.errors import (
    AddressTooLong,
    HeadersTooLarge,
    MalformedRequest,
    RequestTimeout,
    ServiceError,
    ShuttingDown,
    TooManyConnections,
)
from service.settings import ServiceSettings

MAX_URL_BYTES = 8 * 1024
MAX_HEADERS = 100
"""Header fields of one request."""
MAX_PIPELINED = 8
"""Requests of one connection that wait for the answer to an earlier one."""
UNREADABLE = "-"
"""The method of a request that could not be read."""
_PIECE = 16 * 1024
"""Bytes that are parsed between two checks of the limits."""
_LINGER_SECONDS = 2.0
"""How long a connection that closes early still takes what its client sends: a connection that is closed with unread
bytes is reset, and the client may lose the answer."""
_UNREAD_SECONDS = 2.0
"""While the service stops, how long a client may take to read what has been answered."""
_EXCHANGE = "champion.exchange"


class Exchange:
    """Progress of one request."""

    __slots__ = ("_lost_callback", "_protocol", "complete", "cycle", "lost", "refusal")

    def __init__(
        self, refusal: ServiceError | None = None, protocol: BoundedHttpProtocol | None = None
    ) -> None:
        self.complete = False
        """Whether its last byte has arrived."""
        self.refusal = refusal
        """Why the rest is not read."""
        self.lost = False
        """Whether the connection was lost while `watch` was in force."""
        self.cycle: RequestResponseCycle | None = None
        """uvicorn's state of the request; None: its head is not complete."""
        self._protocol = protocol
        self._lost_callback: Callable[[], object] | None = None

    def watch(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the connection is lost, at once if it is."""
        self._lost_callback = callback
        if self._protocol is None or self._protocol._lost:
            self.note_lost()
        else:
            self._protocol._watched.add(self)

    def unwatch(self) -> None:
        """Call nothing any more."""
        self._lost_callback = None
        if self._protocol is not None:
            self._protocol._watched.discard(self)

    def note_lost(self) -> None:
        """The connection was lost."""
        self.lost = True
        if self._lost_callback is not None:
            self._lost_callback()

    def respond(
        self,
        status: int,
        headers: Iterable[tuple[bytes, bytes]],
        body: bytes,
        *,
        keep_alive: bool,
    ) -> bool:
        """Answer with one write, as uvicorn would with two after a check of each header.

        Args:
            status: of HTTP.
            headers: the length of the body among them, and none about the connection.
            body: the whole.
            keep_alive: whether the connection may be used again.

        Returns:
            Whether it was done; False: the answer is to be sent as ASGI messages, as of HEAD, or to a client that reads
            slowly.
        """
        cycle, protocol = self.cycle, self._protocol
        if cycle is None or protocol is None or cycle.response_started or cycle.flow.write_paused:
            return False
        if cycle.scope["method"] == "HEAD":
            return False
        if cycle.disconnected:
            return True
        content = [STATUS_LINE[status]]
        content += [b"%b: %b\r\n" % header for header in (*cycle.default_headers, *headers)]
        if not keep_alive:
            cycle.keep_alive = False
        if not cycle.keep_alive:
            content.append(b"connection: close\r\n")
        head = b"".join(content)
        if head.count(b"\n") != len(content) or head.count(b"\r") != len(content):
            raise AssertionError("this is a bug: a header of the answer holds a line break")
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        protocol.transport.write(b"%b\r\n%b" % (head, body))
        cycle.message_event.set()
        if not cycle.keep_alive:
            protocol.transport.close()
        cycle.on_response()
        return True


def exchange_of(scope: Mapping[str, Any]) -> Exchange | None:
    """The exchange of an ASGI scope; None: another server read the request."""
    found: Exchange | None = (scope.get("extensions") or {}).get(_EXCHANGE)
    return found


def install() -> None:
    """Make `BoundedHttpProtocol` uvicorn's default, since BentoML writes uvicorn's configuration."""
    uvicorn.config.HTTP_PROTOCOLS["auto"] = f"{__name__}:{BoundedHttpProtocol.__name__}"


@lru_cache(maxsize=1)
def _settings() -> ServiceSettings:
    return ServiceSettings()


class BoundedHttpProtocol(HttpToolsProtocol):
    """One connection.

    The head of a request has at most MAX_URL_BYTES of address, MAX_HEADERS fields and MAX_HEADER_BYTES of them, and
    arrives within IDLE_SECONDS; trailers are refused. A client that reads nothing of its answer for IDLE_SECONDS is cut
    off, and so is one that is idle that long between requests. Whatever is refused is passed to the application as a
    request whose `Exchange` has the error, so that errors become answers, are counted and logged in one place.
    """

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        settings = _settings()
        self._idle_seconds = settings.idle_seconds
        self._max_header_bytes = settings.max_header_bytes
        self._max_connections = settings.max_connections
        self.timeout_keep_alive = settings.idle_seconds  # type: ignore[assignment]  # uvicorn takes fractions too
        self._reading: Literal["idle", "head", "body"] = "idle"
        self._exchange = Exchange()
        self._header_bytes = 0
        self._piece_bytes = 0
        self._overhead = 0
        """Bytes since the last that belonged to a body, or since the head began."""
        self._without_upgrade = False
        self._refused = False
        self._closing = False
        self._draining = False
        self._lost = False
        self._unsent = 0
        self._watched: set[Exchange] = set()
        """Requests whose handlers want to know when the connection is lost."""
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._close_timer: asyncio.TimerHandle | None = None

    # -- the connection -------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Accept it, or refuse it where there are MAX_CONNECTIONS already."""
        super().connection_made(cast("asyncio.Transport", _Transport(transport, self)))
        self._watch_head()
        if len(self.connections) > self._max_connections and not self._close_an_idle_one():
            self._refuse(
                TooManyConnections("the service has as many connections as it takes: try again later")
            )

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers."""
        self._lost = True
        for timer in (self._head_timer, self._write_timer, self._close_timer):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)
        for exchange in tuple(self._watched):
            exchange.note_lost()

    def shutdown(self) -> None:
        """Close it as soon as what was accepted has been answered and read, and that within two seconds."""
        self._draining = True
        if self._closing:
            self._close_now()
            return
        if self._reading == "body" and not self.cycle.response_complete:
            self._refuse(
                ShuttingDown("the service is shutting down: try another instance, or this one later")
            )
        super().shutdown()
        if self.flow.write_paused:
            self._watch_writing()

    def _close_an_idle_one(self) -> bool:
        for connection in self.connections:
            if isinstance(connection, BoundedHttpProtocol) and connection is not self and connection.idle:
                connection.transport.close()
                return True
        return False

    @property
    def idle(self) -> bool:
        """Whether its last request has been answered, and the next has not begun."""
        answered = self.cycle is not None and self.cycle.response_complete
        return answered and self._reading == "idle" and not self._closing

    # -- what arrives ---------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse it, a piece at a time."""
        if self._refused or self._closing:
            return
        self._unset_keepalive_if_required()
        if self._reading != "body" and self._head_timer is None:
            self._watch_head()
        for start in range(0, len(data), _PIECE):
            self._parse(data[start : start + _PIECE])
            if self._refused or self._closing:
                return

    def _parse(self, piece: bytes) -> None:
        self._piece_bytes = len(piece)
        self._overhead += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(piece[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, ServiceError) else _invalid())
        else:
            if self._overhead > MAX_URL_BYTES + self._max_header_bytes + _PIECE:
                self._refuse(_headers_too_large(self._max_header_bytes))

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Read the request once more without its wish for another protocol, which a server may ignore (RFC 9110, 7.8).

        The parser takes what follows such a head for the other protocol, so that a body would be lost.
        """
        lines = [b"%s %s HTTP/1.1" % (self.parser.get_method(), self.url)]
        for name, value in self.headers:
            if name == b"connection":
                tokens = [token.strip() for token in value.split(b",")]
                value = b", ".join(token for token in tokens if token.lower() != b"upgrade")
            if name != b"upgrade" and value:
                lines.append(b"%s: %s" % (name, value))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        for piece in (b"\r\n".join(lines) + b"\r\n\r\n", rest):
            if piece and not self._refused:
                self._parse(piece)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._exchange = Exchange(protocol=self)
        self.scope["extensions"] = cast("dict[str, Any]", {_EXCHANGE: self._exchange})
        self._reading, self._header_bytes, self._overhead = "head", 0, self._piece_bytes
        self._without_upgrade = False

    def on_url(self, url: bytes) -> None:
        """A part of the address."""
        super().on_url(url)
        if len(self.url) > MAX_URL_BYTES:
            raise AddressTooLong(f"the address has more than {MAX_URL_BYTES} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or a trailer after the body."""
        if self._reading == "body":
            raise MalformedRequest("trailers after the body are not taken", code="trailers_refused")
        self._header_bytes += len(name) + len(value) + 4
        if self._header_bytes > self._max_header_bytes or len(self.headers) >= MAX_HEADERS:
            raise _headers_too_large(self._max_header_bytes)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The application gets the request, or it waits for the answers to those before it."""
        if self.parser.get_http_version() not in ("1.0", "1.1"):
            raise _invalid()
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise MalformedRequest("this service is no proxy: CONNECT is not taken", code="invalid_http")
            self._without_upgrade = True
            return
        if len(self.pipeline) >= MAX_PIPELINED:
            raise MalformedRequest(
                f"more than {MAX_PIPELINED} requests of this connection wait for an earlier one",
                code="too_many_pipelined",
            )
        super().on_headers_complete()
        self._exchange.cycle = self.cycle
        self._reading, self._overhead = "body", 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._overhead = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has arrived."""
        if self._without_upgrade:
            return
        self._exchange.complete = True
        self._reading, self._overhead = "idle", 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        """The request has been answered; a connection on which more of it arrives is closed."""
        super().on_response_complete()
        if self._reading == "body" and self.cycle.response_complete and not self._closing:
            self._unset_keepalive_if_required()
            self.transport.close()

    def _should_upgrade_to_ws(self) -> bool:
        return False

    def _refuse(self, error: ServiceError) -> None:
        """Have the application answer with `error`, and take nothing more from the connection."""
        self._refused = True
        if self._reading == "body":
            # The application has this request, and waits for its body or has it still in line.
            self._exchange.refusal = error
            self.cycle.more_body = False
            self.cycle.keep_alive = False
            self.cycle.message_event.set()
            return
        cycle = RequestResponseCycle(
            scope=self._scope_of(error),
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=False,
            on_response=self.on_response_complete,
        )
        cycle.more_body = False
        waiting = self.cycle is not None and not self.cycle.response_complete
        self.cycle = cycle
        if waiting:
            self.pipeline.appendleft((cycle, self.app))
        else:
            self._unset_keepalive_if_required()
            self._start_asgi_task(cycle, self.app)

    def _scope_of(self, error: ServiceError) -> Any:
        """A request with what was read of it: its headers may have an id."""
        scope: MutableMapping[str, Any] = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": "1.1",
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "method": UNREADABLE,
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "headers": self.headers if self._reading == "head" else [],
            "state": self.app_state.copy(),
            "extensions": {_EXCHANGE: Exchange(error)},
        }
        return scope

    # -- time -----------------------------------------------------------------------------------------------------

    def _watch_head(self) -> None:
        self._head_timer = self.loop.call_later(self._idle_seconds, self._head_is_late)

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._refused or self._closing:
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._watch_head()  # it waits for the answer before it
        elif self._reading == "idle":
            self.transport.close()
        else:
            self._refuse(
                RequestTimeout(f"the request's head was not complete within {self._idle_seconds:g} s")
            )

    def pause_writing(self) -> None:
        """The client does not read as fast as it is answered."""
        super().pause_writing()
        self._watch_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _watch_writing(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
        self._unsent = self.transport.get_write_buffer_size()
        seconds = _UNREAD_SECONDS if self._draining else self._idle_seconds
        self._write_timer = self.loop.call_later(seconds, self._writing_is_late)

    def _writing_is_late(self) -> None:
        self._write_timer = None
        if self._draining or self.transport.get_write_buffer_size() >= self._unsent:
            self.transport.abort()
        else:
            self._watch_writing()

    def close(self) -> None:
        """Close the connection, after what its client is sending has been taken from it."""
        if self._closing:
            return
        self._closing = True
        raw = self.raw_transport
        if self._lost or raw.is_closing():
            raw.close()
        elif (self._reading == "idle" and not self._refused) or not raw.can_write_eof():
            self._close_now()
        else:
            self._close_timer = self.loop.call_later(_LINGER_SECONDS, self._close_now)
            with contextlib.suppress(OSError, RuntimeError):
                raw.write_eof()
            self.flow.resume_reading()

    def _close_now(self) -> None:
        if self._close_timer is not None:
            self._close_timer.cancel()
        seconds = _UNREAD_SECONDS if self._draining else self._idle_seconds
        self._close_timer = self.loop.call_later(seconds, self.raw_transport.abort)
        self.raw_transport.close()  # once the client has read everything

    @property
    def raw_transport(self) -> asyncio.Transport:
        """The transport of the event loop."""
        return cast("_Transport", self.transport).raw


class _Transport:
    """A transport whose `close` is the protocol's: uvicorn closes from several places."""

    def __init__(self, raw: asyncio.Transport, protocol: BoundedHttpProtocol) -> None:
        self.raw = raw
        self.write = raw.write
        self._protocol = protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    def close(self) -> None:
        self._protocol.close()

    def is_closing(self) -> bool:
        return self._protocol._closing or self.raw.is_closing()


def _invalid() -> MalformedRequest:
    return MalformedRequest("this is not a request of HTTP/1.1", code="invalid_http")


def _headers_too_large(limit: int) -> HeadersTooLarge:
    return HeadersTooLarge(f"the headers have more than {limit} bytes, or are more than {MAX_HEADERS}")
