"""Errors of the client.

ClientError
 ├── Refused          the service answered with an error: its status, code, field and request id
 └── Unreachable      there was no answer, after every try
"""

from __future__ import annotations


class ClientError(Exception):
    """Base of every error of this package."""


class Refused(ClientError):
    """The service answered with an error, and trying again does not help, or has not helped."""

    def __init__(
        self, status: int, code: str, message: str, *, field: str | None = None, request_id: str | None = None
    ) -> None:
        named = f" (request {request_id})" if request_id else ""
        super().__init__(f"{status} {code}: {message}{named}")
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        """The invalid part of the call, counted over all its texts: `text[1200]`."""
        self.request_id = request_id
        """Id of the request in the service's log."""


class Unreachable(ClientError):
    """The service could not be reached, or its answer did not come in time."""
