"""Reading a request's body: bounded, UTF-8, strict JSON."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request

from service.errors import BodyTooLarge, ClientGone, DeadlinePassed, MalformedRequest

_JSON = "application/json"


async def read_json(request: Request, limit: int, deadline: float) -> Any:
    """The body as JSON; `deadline` is `time.monotonic()` until which it must be complete.

    Raises:
        MalformedRequest: not said to be JSON, not UTF-8, not JSON, or an object with a repeated name.
        BodyTooLarge: more than `limit` bytes.
        ClientGone: the connection closed before the body was complete.
        DeadlinePassed: the client was too slow.
    """
    _check_headers(request, limit)
    try:
        async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
            body = await _read(request, limit)
    except TimeoutError:
        raise DeadlinePassed("the body was not complete within the request's time") from None
    return parse_json(body)


def parse_json(body: bytes) -> Any:
    """Strict JSON: UTF-8 only, no NaN or Infinity, no repeated names. MalformedRequest for anything else."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedRequest(
            f"the body is not UTF-8: byte {error.start} is wrong", code="invalid_encoding"
        ) from None
    try:
        return json.loads(text, object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise MalformedRequest(
            f"the body is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except RecursionError:
        raise MalformedRequest("the body is nested too deeply") from None
    except ValueError:  # an integer of thousands of digits
        raise MalformedRequest("the body holds a number that is too long") from None


def _check_headers(request: Request, limit: int) -> None:
    kinds = request.headers.getlist("content-type")
    if len(kinds) > 1:
        raise MalformedRequest("the request has more than one Content-Type", code="unsupported_content_type")
    kind, _, parameters = (kinds[0] if kinds else _JSON).partition(";")
    if kind.strip().lower() != _JSON:
        raise MalformedRequest(
            f"the body must be JSON: send Content-Type: {_JSON}", code="unsupported_content_type"
        )
    name, _, charset = parameters.strip().partition("=")
    if name.lower() == "charset" and charset.strip('"').lower() not in ("utf-8", "utf8"):
        raise MalformedRequest("the body must be UTF-8", code="invalid_encoding")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise MalformedRequest("a compressed body is not read: send it as it is", code="invalid_encoding")
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)


async def _read(request: Request, limit: int) -> bytes:
    parts, size = [], 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            parts.append(part)
    except ClientDisconnect:
        raise ClientGone("the connection closed before the body was complete") from None
    return b"".join(parts)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"the body has more than {limit} bytes, the limit of this service: send fewer texts at a time"
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise MalformedRequest("an object in the body has the same name twice")
    return content


def _no_constant(_name: str) -> NoReturn:
    raise MalformedRequest("the body holds NaN or Infinity, which JSON does not have")
