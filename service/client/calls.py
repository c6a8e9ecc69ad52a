"""What the synchronous and the asynchronous client share: requests, responses and retries. Nothing here sends."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import httpx
from pydantic import ValidationError

from service.answers import ClassifyAnswer, ModelName, Prediction
from service.client.errors import Refused

_TEXT_FIELD = re.compile(r"text\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Answers:
    """One prediction a text, in the order asked."""

    predictions: list[Prediction]
    models: tuple[ModelName, ...]
    """The model that answered; two where the champion changed between the requests of a long list."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive texts of a call that fit one request."""

    first: int
    """Position of its first text in the call."""
    body: dict[str, Any]


def pieces(
    text: str | Sequence[str], options: Mapping[str, Any], *, texts: int, size: int
) -> Iterator[Piece]:
    """Split the call into requests of at most `texts` texts and about `size` bytes; a single text is never cut."""
    if isinstance(text, str):
        yield Piece(0, {"text": text, **options})
        return
    first, chunk, length = 0, list[str](), 0
    for position, item in enumerate(text):
        weight = len(json.dumps(item)) + 2 if isinstance(item, str) else 2
        if chunk and (len(chunk) == texts or length + weight > size):
            yield Piece(first, {"text": chunk, **options})
            first, chunk, length = position, [], 0
        chunk.append(item)
        length += weight
    yield Piece(
        first, {"text": chunk, **options}
    )  # an empty list too: the service says what is wrong with it


def joined(answers: Sequence[ClassifyAnswer]) -> Answers:
    """The answers of all pieces, in order."""
    models: dict[tuple[str, str], ModelName] = {
        (answer.model.name, answer.model.version): answer.model for answer in answers
    }
    predictions = [prediction for answer in answers for prediction in answer.predictions]
    return Answers(predictions, tuple(models.values()))


def content(response: httpx.Response, first: int = 0) -> Any:
    """The body of the response.

    Raises:
        Refused: it is an error; its field counts texts from the start of the call.
    """
    try:
        body = response.json()
        if response.is_success:
            return body
        error = body["error"]
        code, message, field = str(error["code"]), str(error["message"]), error.get("field")
        request_id = error.get("request_id")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refused(
            response.status_code,
            "not_the_service",
            f"{response.url} did not answer as this service does: is it another server, or a proxy's page?",
        ) from None
    if first and field:
        moved = _TEXT_FIELD.sub(lambda found: f"text[{int(found[1]) + first}]", field)
        message, field = message.replace(field, moved), moved
    raise Refused(response.status_code, code, message, field=field, request_id=request_id)


def classified(response: httpx.Response, first: int) -> ClassifyAnswer:
    """The answer to one piece.

    Raises:
        Refused: it is an error, or nothing that this client knows.
    """
    try:
        return ClassifyAnswer.model_validate(content(response, first))
    except ValidationError as error:
        raise Refused(
            response.status_code,
            "unknown_answer",
            f"the answer has not the form that this client knows ({error.error_count()} differences): are service "
            "and client of one version?",
        ) from None


OnTooLong = Literal["truncate", "error"]

MAX_TEXTS = 256
"""Texts of one request. Fewer than the service takes, so that one slow request does not outlast its time."""
MAX_BYTES = 4 * 1024 * 1024
"""Bytes of one request, half of what the service takes by default."""


def headers(key: str | None, source: str | None) -> dict[str, str]:
    """Headers of every request."""
    authorization = {"Authorization": f"Bearer {key}"} if key else {}
    return authorization | ({"X-Source": source} if source is not None else {})


def deadline(seconds: float | None) -> dict[str, str]:
    """Headers of a request whose answer is of no use after `seconds`."""
    return {} if seconds is None else {"X-Deadline-Ms": f"{seconds * 1000:g}"}


def options(top_k: int | None, on_too_long: OnTooLong) -> dict[str, Any]:
    """A call's options as the body has them."""
    return {"on_too_long": on_too_long} | ({} if top_k is None else {"top_k": top_k})


def items(labels: Mapping[str, str]) -> list[dict[str, str]]:
    """Prediction id → label, as the body has it."""
    return [{"id": prediction, "label": label} for prediction, label in labels.items()]


_WAIT_AND_TRY = frozenset({429, 502, 503})
"""The queue is full, or the service is starting, stopping or behind a proxy that does not find it."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a call is retried.

    Requests that may have been executed are not repeated: neither after a time-out nor after a 504.
    """

    seconds: float = 60.0
    """Total pauses of one request."""
    first_pause: float = 0.25
    """Seconds before the second try where the service does not say how long to wait; doubled at each further one."""
    longest_pause: float = 10.0
    """Maximum of such a pause."""

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
        # Random jitter, so that clients that were refused together do not retry together.
        return random.uniform(0.5, 1.0) * min(self.longest_pause, self.first_pause * 2.0 ** (tries - 1))


def _asked_for(response: httpx.Response) -> float | None:
    try:
        seconds = float(response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if seconds >= 0 else None
