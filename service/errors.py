"""Errors of the service; `service.http.statuses` maps them to HTTP.

ServiceError                      has a code, a message, and optionally a field and seconds to wait
 ├── MalformedRequest             not HTTP/1.1, or a body that is not JSON or not UTF-8
 ├── UnsupportedContent           Content-Type is not JSON in UTF-8
 ├── RequestTimeout               the request did not arrive in time
 ├── AddressTooLong               the address exceeds the limit
 ├── HeadersTooLarge              more bytes of headers than MAX_HEADER_BYTES, or too many of them
 ├── UnknownPath                  there is no such path
 ├── WrongMethod                  the path does not take this method
 ├── UnknownPrediction            there is no prediction with this id, or none that the key may see
 ├── NotAuthorised                no key, or an unknown one
 ├── ScopeMissing                 the key lacks the scope
 ├── RateLimited                  too many requests, texts or wrong keys in a minute
 ├── BodyTooLarge                 more bytes than MAX_BODY_BYTES
 ├── InvalidContent               valid JSON with invalid content; `field` names the part
 ├── QueueFull                    QUEUE_TEXTS texts are queued
 ├── Unavailable                  the service cannot answer now
 │    ├── NoModel                 no champion has been loaded yet
 │    ├── ShuttingDown            the process is stopping
 │    ├── TooManyConnections      MAX_CONNECTIONS are open
 │    ├── TooManyBytes            requests of MAX_INFLIGHT_BYTES are being answered
 │    ├── WorkerDead              a worker thread has died; the process must be restarted
 │    └── StoreUnavailable        the prediction could not be stored, so it is not answered
 ├── DeadlinePassed               the deadline of the request has passed
 ├── ClientDisconnected           the client closed its connection
 └── PredictionBroken             the model fails on this text
"""

from __future__ import annotations


class ServiceError(Exception):
    """Base of every error of this package."""

    code = "internal_error"

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.field = field
        """The invalid part of the request: `text[2]`."""
        self.retry_after = retry_after
        """Seconds after which another try may succeed."""


class MalformedRequest(ServiceError):
    """The request cannot be read as HTTP, or its body as JSON."""

    code = "malformed_json"


class UnsupportedContent(ServiceError):
    """The request does not say that its body is JSON in UTF-8."""

    code = "unsupported_content_type"


class RequestTimeout(ServiceError):
    """The client was too slow with its request."""

    code = "request_timeout"


class AddressTooLong(ServiceError):
    """The request's address has more bytes than are read."""

    code = "address_too_long"


class HeadersTooLarge(ServiceError):
    """The request's headers have more bytes than MAX_HEADER_BYTES, or are too many."""

    code = "headers_too_large"


class UnknownPath(ServiceError):
    """There is nothing at this path."""

    code = "not_found"


class UnknownPrediction(ServiceError):
    """There is no prediction with this id, or none that the key may see."""

    code = "unknown_prediction"


class WrongMethod(ServiceError):
    """The path does not take this method."""

    code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: str) -> None:
        super().__init__(message)
        self.allowed = allowed
        """The methods it takes, as the header Allow lists them."""


class NotAuthorised(ServiceError):
    """Keys are set, and the request carries none of them."""

    code = "not_authorised"


class ScopeMissing(ServiceError):
    """The request's key is accepted, and does not have the scope that the route needs."""

    code = "scope_missing"


class RateLimited(ServiceError):
    """A key's limit is reached, or an address sent too many wrong keys; `retry_after` says for how long."""

    code = "rate_limited"


class BodyTooLarge(ServiceError):
    """The body has more bytes than MAX_BODY_BYTES."""

    code = "body_too_large"


class InvalidContent(ServiceError):
    """The body is JSON, and its content is not what the route takes."""

    code = "invalid_content"


class QueueFull(ServiceError):
    """QUEUE_TEXTS texts are waiting; `retry_after` comes from the measured rate."""

    code = "queue_full"


class Unavailable(ServiceError):
    """The service cannot answer now, and may later."""

    code = "unavailable"


class NoModel(Unavailable):
    """No champion has been loaded yet."""

    code = "no_model"


class ShuttingDown(Unavailable):
    """The process is stopping and takes no new work."""

    code = "shutting_down"


class TooManyConnections(Unavailable):
    """As many connections are open as MAX_CONNECTIONS allows."""

    code = "too_many_connections"


class TooManyBytes(Unavailable):
    """The bodies of the requests that are not answered yet have MAX_INFLIGHT_BYTES."""

    code = "too_many_bytes"


class WorkerDead(Unavailable):
    """A thread that every answer needs has died."""

    code = "worker_dead"


class StoreUnavailable(Unavailable):
    """The prediction store did not take the prediction or the feedback."""

    code = "store_unavailable"


class DeadlinePassed(ServiceError):
    """The request was not answered within its time; what had not been started was not computed."""

    code = "deadline_passed"


class ClientDisconnected(ServiceError):
    """The client closed its connection before the answer."""

    code = "client_gone"


class PredictionBroken(ServiceError):
    """The model fails on this text, alone as well."""

    code = "prediction_broken"
