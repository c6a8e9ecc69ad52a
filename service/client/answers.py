"""From texts to requests, and from responses to answers; nothing here sends anything."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import ValidationError

from service.client.errors import Refused
from service.schemas import ClassifyAnswer, ModelName, Prediction

_TEXT_FIELD = re.compile(r"text\[(\d+)\]")


@dataclass(frozen=True, slots=True)
class Answers:
    """One prediction a text, in the order asked."""

    predictions: list[Prediction]
    models: tuple[ModelName, ...]
    """The model that answered; two where the champion changed between the requests of a long list."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a call's texts that fits one request."""

    first: int
    """Position of its first text in the call."""
    body: dict[str, Any]


def pieces(
    text: str | Sequence[str], options: Mapping[str, Any], *, texts: int, size: int
) -> Iterator[Piece]:
    """The call cut into requests of at most `texts` texts and about `size` bytes; a single text is never cut."""
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
    """What the response says.

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
