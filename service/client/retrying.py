"""When a call is tried again, and after how long: decided here, slept elsewhere."""

from __future__ import annotations

import random
from dataclasses import dataclass

import httpx

_WAIT_AND_TRY = frozenset({429, 502, 503})
"""The queue is full, or the service is starting, stopping or behind a proxy that does not find it."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call is tried again.

    What may have been done already is not asked for twice: an answer that did not come in time is not waited for
    again, and neither is a 504.
    """

    seconds: float = 60.0
    """Pauses of one request, in all; a pause that would exceed it is not begun."""
    first_pause: float = 0.25
    """Seconds before the second try where the service does not say how long to wait; doubled at each further one."""
    longest_pause: float = 10.0
    """Such a pause is never longer."""

    def pause(self, outcome: httpx.Response | httpx.TransportError, tries: int, spent: float) -> float | None:
        """Seconds to wait before another try; None when there is to be none.

        Args:
            outcome: what the last try came to.
            tries: how many there have been.
            spent: seconds already waited for this request.
        """
        if isinstance(outcome, httpx.Response):
            if outcome.status_code not in _WAIT_AND_TRY:
                return None
            pause = _asked_for(outcome) or self._grown(tries)
        elif isinstance(outcome, httpx.ConnectError | httpx.ConnectTimeout | httpx.RemoteProtocolError):
            pause = self._grown(tries)
        else:
            return None
        return pause if spent + pause <= self.seconds else None

    def _grown(self, tries: int) -> float:
        # Drawn at random, so that clients that were refused together do not come back together.
        return random.uniform(0.5, 1.0) * min(self.longest_pause, self.first_pause * 2.0 ** (tries - 1))


def _asked_for(response: httpx.Response) -> float | None:
    try:
        seconds = float(response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if seconds >= 0 else None
