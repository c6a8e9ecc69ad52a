"""Everything that can keep the service from answering. Nothing here knows HTTP: `service.statuses` does.

ServiceError                      has a code, a message, perhaps the field and the seconds to wait
 ├── MalformedRequest             the body is not JSON, not UTF-8, or not said to be JSON
 ├── UnknownPath                  nothing is there
 ├── WrongMethod                  something is there, and does not take this method
 ├── NotAuthorised                no key, or one that is not accepted
 ├── BodyTooLarge                 more bytes than MAX_BODY_BYTES
 ├── InvalidContent               valid JSON with wrong content; `field` says which
 ├── QueueFull                    as many texts wait as may
 ├── Unavailable                  cannot answer now
 │    ├── NoModel                 no champion has been loaded yet
 │    ├── ShuttingDown            the process was told to stop
 │    ├── WorkerDead              the thread that computes has died; the process must be restarted
 │    └── StoreUnavailable        the prediction could not be logged, so it is not answered
 ├── DeadlinePassed               the request's time is over
 ├── ClientGone                   nobody is left to answer
 └── PredictionBroken             the model cannot compute this text
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
        """The part of the request that is at fault: `text[2]`."""
        self.retry_after = retry_after
        """Seconds after which another try may succeed."""


class MalformedRequest(ServiceError):
    """The body cannot be read as JSON."""

    code = "malformed_json"


class UnknownPath(ServiceError):
    """There is nothing at this path."""

    code = "not_found"


class WrongMethod(ServiceError):
    """The path does not take this method."""

    code = "method_not_allowed"

    def __init__(self, message: str, *, allowed: str) -> None:
        super().__init__(message)
        self.allowed = allowed
        """The methods it takes, as the header Allow lists them."""


class NotAuthorised(ServiceError):
    """API_KEYS is set, and the request carries none of them."""

    code = "not_authorised"


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
    """The process was told to stop, and takes no new work."""

    code = "shutting_down"


class WorkerDead(Unavailable):
    """A thread that every answer needs has died."""

    code = "worker_dead"


class StoreUnavailable(Unavailable):
    """The prediction store did not take the prediction or the feedback."""

    code = "store_unavailable"


class DeadlinePassed(ServiceError):
    """The request was not answered within its time; what had not been started was not computed."""

    code = "deadline_passed"


class ClientGone(ServiceError):
    """The client closed its connection before the answer."""

    code = "client_gone"


class PredictionBroken(ServiceError):
    """The model fails on this text, alone as well."""

    code = "prediction_broken"
