"""Reading a request's body: bounded in bytes, in time and in memory over all requests; UTF-8, strict JSON."""

from __future__ import annotations

import asyncio
import json
import json.scanner
import re
import time
from collections.abc import Callable
from email.message import Message
from json.decoder import JSONArray, JSONObject  # type: ignore[attr-defined]  # missing in the type stubs
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel
from starlette.requests import Request

from service.errors import (
    BodyTooLarge,
    ClientDisconnected,
    DeadlinePassed,
    InvalidContent,
    MalformedRequest,
    RequestTimeout,
    TooManyBytes,
    UnsupportedContent,
)
from service.http.connection import exchange_of
from service.requests import ContentLimits, too_long, too_many, validated
from service.settings import ServiceSettings

Content = TypeVar("Content", bound=BaseModel)

DEADLINE_HEADER = "x-deadline-ms"

_JSON = "application/json"
_PLAIN_TYPES = frozenset({_JSON, "application/json; charset=utf-8"})
_SMALL = 16 * 1024
"""Bytes of a body that is parsed on the event loop, in less than two milliseconds whatever it holds."""
_FEW_VALUES = 1000
_LARGER = 128 * 1024
"""Bytes of a body that is parsed on the event loop if it holds few values: strings are read at 100 MB/s or more."""
_UNCOUNTED = 64 * 1024
"""Bytes of each body that are not counted in MAX_INFLIGHT_BYTES, so that requests of usual size are answered while
large ones fill it."""
_RETRY_AFTER = 1.0
_MAX_DEPTH = 16
_LIST_DEPTH = 2
_LONG_NUMBER = re.compile(r"-?[0-9.]{400}")
_ESCAPED_BYTES = 12
"""Bytes that JSON may use for one character: two escapes of six."""


class InFlightBytes:
    """Bytes of the requests that are not answered yet. For one event loop.

    Args:
        limit: maximum bytes at a time.
    """

    def __init__(self, limit: int) -> None:
        self.held = 0
        self._limit = limit

    def lease(self) -> Lease:
        """The lease of one request, to be released when it has been answered."""
        return Lease(self)

    def take(self, size: int) -> None:
        """Count `size` bytes more.

        Raises:
            TooManyBytes: they would exceed the limit; nothing is counted.
        """
        if self.held + size > self._limit:
            raise TooManyBytes(
                "the requests that are being answered have as many bytes as are held at a time: try again later",
                retry_after=_RETRY_AFTER,
            )
        self.held += size


class Lease:
    """The share of one request in `InFlightBytes`."""

    def __init__(self, account: InFlightBytes) -> None:
        self._account = account
        self._held = 0

    def hold(self, size: int) -> None:
        """Hold at least `size` bytes in all, of which the first 64 KiB are free; TooManyBytes if that is refused."""
        wanted = max(0, size - _UNCOUNTED)
        if wanted > self._held:
            self._account.take(wanted - self._held)
            self._held = wanted

    def release(self) -> None:
        """Release all bytes."""
        self._account.held -= self._held
        self._held = 0


class BodyReader:
    """Reads and checks bodies for one service.

    Large ones are parsed and checked in a thread, one at a time, so that the event loop is not blocked; at most
    MAX_BODY_BYTES wait for that.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._max_bytes = settings.max_body_bytes
        self._idle_seconds = settings.idle_seconds
        self._uncounted = min(_UNCOUNTED, settings.max_body_bytes)
        self._limits = ContentLimits(settings.max_texts, settings.max_text_chars)
        self._in_flight = InFlightBytes(settings.max_inflight_bytes)
        self._parsing = asyncio.Semaphore(1)
        self._unparsed = 0

    @property
    def held(self) -> int:
        """Bytes that count against MAX_INFLIGHT_BYTES now."""
        return self._in_flight.held

    async def read(
        self,
        request: Request,
        kind: type[Content],
        deadline: float,
        *,
        admit: Callable[[], None] = lambda: None,
    ) -> Content:
        """The request's body as `kind`; the request's `state.lease` holds its bytes, and is to be released.

        Args:
            request: its body has not been read.
            kind: what the body must hold.
            deadline: `time.monotonic()` until which the request is of use.
            admit: called before a body of more than 16 KiB is parsed; its error refuses the request. Under overload,
                parsing what is refused afterwards would take the time of what is answered.

        Raises:
            UnsupportedContent: Content-Type is not JSON in UTF-8.
            MalformedRequest: not UTF-8, not JSON, or an object with a repeated name.
            BodyTooLarge: more than MAX_BODY_BYTES.
            TooManyBytes: other requests hold the memory for bodies, or wait to be parsed.
            RequestTimeout: the client was too slow.
            ClientDisconnected: the connection closed before the body was complete.
            InvalidContent: JSON that is no `kind`.
            DeadlinePassed: the time that the client gave was over, or it could not be parsed in time.
        """
        _check_headers(request, self._max_bytes)
        body = await self._arrived(request, deadline)
        if len(body) > _SMALL:
            admit()
        if _is_quick(body):
            return validated(kind, parse_json(body), self._limits)
        size = len(body)
        if self._unparsed and self._unparsed + size > self._max_bytes:
            raise TooManyBytes(
                "other requests wait to be read: try again later, or with fewer texts",
                retry_after=_RETRY_AFTER,
            )
        self._unparsed += size
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())), self._parsing:
                return await asyncio.to_thread(_parse_large, kind, body, self._limits)
        except TimeoutError:
            raise DeadlinePassed("the request was not read within its time: send fewer texts") from None
        finally:
            self._unparsed -= size

    async def _arrived(self, request: Request, deadline: float) -> bytearray:
        exchange, message = exchange_of(request.scope), None
        if exchange is not None and exchange.complete and exchange.refusal is None:
            message = await request.receive()  # all of it is here: there is nothing to wait for
            if not message.get("more_body", True) and len(message["body"]) <= self._uncounted:
                return bytearray(message["body"])
        lease = request.state.lease = self._in_flight.lease()
        body, loop = bytearray(), asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as timer:
                more = True
                while more:
                    timer.reschedule(
                        loop.time() + min(self._idle_seconds, max(0.0, deadline - time.monotonic()))
                    )
                    if message is None:
                        message = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnected("the connection closed before the body was complete")
                    body += message.get("body", b"")
                    if len(body) > self._max_bytes:
                        raise _too_large(self._max_bytes)
                    lease.hold(len(body))
                    more, message = message.get("more_body", False), None
        except TimeoutError:
            if DEADLINE_HEADER in request.headers and time.monotonic() >= deadline:
                raise DeadlinePassed("the body was not complete within the time of X-Deadline-Ms") from None
            raise RequestTimeout("the body was not complete in time") from None
        if exchange is not None and exchange.refusal is not None:
            raise exchange.refusal
        return body


def parse_json(body: bytes | bytearray) -> Any:
    """Strict JSON: UTF-8 only, no NaN or Infinity, no repeated names. MalformedRequest for anything else."""
    return _decoded(body, _DECODER.decode)


def _is_quick(body: bytearray) -> bool:
    """Whether `json` decodes it in about two milliseconds: each value but the first follows one of `,[{`."""
    if len(body) <= _SMALL:
        return True
    return len(body) <= _LARGER and sum(map(body.count, (b",", b"[", b"{"))) < _FEW_VALUES


def _parse_large(kind: type[Content], body: bytearray, limits: ContentLimits) -> Content:
    decoder = _BoundedDecoder(kind, limits)
    return validated(kind, _decoded(body, decoder.decode), limits)


def _decoded(body: bytes | bytearray, decode: Callable[[str], Any]) -> Any:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MalformedRequest(
            f"the body is not UTF-8: byte {error.start} is wrong", code="invalid_encoding"
        ) from None
    if isinstance(body, bytearray):
        body.clear()
    try:
        return decode(text)
    except json.JSONDecodeError as error:
        raise MalformedRequest(
            f"the body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:  # an integer of thousands of digits
        raise _number_too_long() from None


class _BoundedDecoder(json.JSONDecoder):
    """json's decoder in Python, which stops at the first list, depth, string or number of values that is too large.

    It costs no more than what it accepts, and it does not keep the interpreter lock for long, as json's in C does.
    """

    def __init__(self, kind: type[BaseModel], limits: ContentLimits) -> None:
        super().__init__(object_pairs_hook=_object, parse_constant=_no_constant)
        self._max_items = limits.max_texts
        self._values_left = 4 * limits.max_texts + 100
        self._max_string = _ESCAPED_BYTES * limits.max_text_chars
        self._kind, self._limits = kind, limits
        self._depth = 0
        self._position: int | None = None
        """Position in the list that is a member of the body."""
        self.parse_array = self._array
        self.parse_object = self._mapping
        self.parse_string = self._string
        self.scan_once = json.scanner.py_make_scanner(self)  # type: ignore[attr-defined]

    def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
        """The value that begins at `idx`, and where it ends."""
        _check_number(s, idx)
        return super().raw_decode(s, idx)

    def _array(self, start: tuple[str, int], scan: Callable[[str, int], Any]) -> Any:
        items = 0

        def item(text: str, index: int) -> Any:
            nonlocal items
            items += 1
            if items > self._max_items:
                raise too_many(self._kind, self._limits)
            if self._depth == _LIST_DEPTH:
                self._position = items - 1
            return self._value(scan, text, index)

        return self._nested(lambda: JSONArray(start, item))

    def _mapping(
        self, start: tuple[str, int], strict: bool, scan: Callable[[str, int], Any], *rest: Any
    ) -> Any:
        return self._nested(
            lambda: JSONObject(start, strict, lambda text, index: self._value(scan, text, index), *rest)
        )

    def _nested(self, parse: Callable[[], Any]) -> Any:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _too_deep()
        parsed = parse()
        self._depth -= 1
        return parsed

    def _value(self, scan: Callable[[str, int], Any], text: str, index: int) -> Any:
        self._values_left -= 1
        if self._values_left < 0:
            raise InvalidContent("the body holds more values than any request needs", code="too_many_values")
        _check_number(text, index)
        return scan(text, index)

    def _string(self, text: str, start: int, strict: bool) -> tuple[str, int]:
        # The quote may be escaped; the scanner itself then reads on.
        if text.find('"', start, start + self._max_string + 1) < 0 and len(text) - start > self._max_string:
            raise too_long(self._kind, self._position, self._limits)
        return json.decoder.scanstring(text, start, strict)  # type: ignore[attr-defined, no-any-return]


def _check_headers(request: Request, limit: int) -> None:
    kinds = request.headers.getlist("content-type")
    if len(kinds) != 1:
        raise UnsupportedContent(f"the body must be JSON: send Content-Type: {_JSON}, once")
    if kinds[0] not in _PLAIN_TYPES:
        _check_type(kinds[0])
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise MalformedRequest("a compressed body is not read: send it as it is", code="invalid_encoding")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length[:20]) > limit:
        raise _too_large(limit)


def _check_type(kind: str) -> None:
    header = Message()
    header["Content-Type"] = kind
    if kind.partition(";")[0].strip().lower() != _JSON:
        raise UnsupportedContent(f"the body must be JSON: send Content-Type: {_JSON}")
    charsets = [
        value for name, value in header.get_params(failobj=[], unquote=True) if name.lower() == "charset"
    ]
    if any(charset.strip().lower() not in ("utf-8", "utf8") for charset in charsets):
        raise UnsupportedContent("the body must be in UTF-8, and its Content-Type says otherwise")


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the body has more than {limit} bytes, the limit of this service: send fewer texts at a time"
    )


def _check_number(text: str, index: int) -> None:
    if _LONG_NUMBER.match(text, index):
        raise _number_too_long()


def _number_too_long() -> MalformedRequest:
    return MalformedRequest("the body holds a number that is too long")


def _too_deep() -> MalformedRequest:
    return MalformedRequest("the body is nested too deeply")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise MalformedRequest("an object in the body has the same name twice")
    return content


def _no_constant(_name: str) -> NoReturn:
    raise MalformedRequest("the body holds NaN or Infinity, which JSON does not have")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant)
