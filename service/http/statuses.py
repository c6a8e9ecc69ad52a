"""The one error map: from exceptions to status, headers and the body of the contract."""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.responses import Response

from service.errors import (
    AddressTooLong,
    BodyTooLarge,
    ClientDisconnected,
    DeadlinePassed,
    HeadersTooLarge,
    InvalidContent,
    MalformedRequest,
    NotAuthorised,
    PredictionBroken,
    QueueFull,
    RateLimited,
    RequestTimeout,
    ScopeMissing,
    ServiceError,
    Unavailable,
    UnknownPath,
    UnknownPrediction,
    UnsupportedContent,
    WrongMethod,
)

CLIENT_DISCONNECTED = 499
"""nginx's number for a client that left; only logs and metrics ever show it."""

STATUSES: dict[type[ServiceError], int] = {
    MalformedRequest: 400,
    NotAuthorised: 401,
    ScopeMissing: 403,
    UnknownPath: 404,
    UnknownPrediction: 404,
    WrongMethod: 405,
    RequestTimeout: 408,
    BodyTooLarge: 413,
    AddressTooLong: 414,
    UnsupportedContent: 415,
    InvalidContent: 422,
    QueueFull: 429,
    RateLimited: 429,
    HeadersTooLarge: 431,
    ClientDisconnected: CLIENT_DISCONNECTED,
    PredictionBroken: 500,
    Unavailable: 503,
    DeadlinePassed: 504,
}
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
_DEFAULT_RETRY_AFTER = 5.0
_INTERNAL = "Something went wrong inside the service; its log has the details under this request_id."


def status_of(error: Exception) -> int:
    """The HTTP status of an error; 500 for an unexpected one."""
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return 500


def error_response(error: Exception, request_id: str) -> Response:
    """The answer to a request that failed: `{"error": {"code", "message", "field", "request_id"}}`."""
    status = status_of(error)
    headers: dict[str, str] = {}
    code, message, field = "internal_error", _INTERNAL, None
    if isinstance(error, ServiceError):
        code, message, field = error.code, error.message, error.field
        if status in (429, 503):
            headers["Retry-After"] = str(max(1, math.ceil(error.retry_after or _DEFAULT_RETRY_AFTER)))
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        if isinstance(error, WrongMethod):
            headers["Allow"] = error.allowed
    body: dict[str, Any] = {"code": code, "message": message, "field": field, "request_id": request_id}
    return json_response({"error": body}, status=status, headers=headers)


def json_response(content: Any, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(json_bytes(content), status, headers, media_type="application/json")


def json_bytes(content: Any) -> bytes:
    """`content` as JSON in UTF-8."""
    return _ENCODER.encode(content).encode()
