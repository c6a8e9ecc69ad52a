"""Tokenisation of a request's texts, off the event loop where they are long."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from classifier import Classifier, Encoded
from service.errors import InvalidContent
from service.inference.deadline import Disconnected, awaited, deadline_passed
from service.inference.jobs import ServedModel
from service.requests import ClassifyRequest

_THREADS = 2
"""Threads that tokenise, so that a list of long texts does not delay a short one."""
_SHORT_TEXT = 2_000
"""Characters that are tokenised on the event loop: 0.3 ms, about the cost of waking a thread."""
_ENCODED_AT_ONCE = 50_000
"""Characters that are tokenised in one call; a tokenizer holds about 230 bytes for each."""


class Encoder:
    """Encodes texts in threads."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="encoder")

    def stop(self) -> None:
        """Finish what is being encoded, and end the threads."""
        self._threads.shutdown()

    async def encode(
        self,
        model: ServedModel,
        request: ClassifyRequest,
        deadline: float,
        disconnected: Disconnected | None,
    ) -> list[Encoded]:
        """Encode the request's texts, a short one on the event loop and others in a thread.

        Raises:
            InvalidContent: a text is too long, and the request refuses that.
            DeadlinePassed, ClientDisconnected: before the texts were encoded.
        """
        texts = request.texts
        if sum(map(len, texts)) <= _SHORT_TEXT:
            encoded = model.classifier.encode(texts)
        else:
            over = threading.Event()
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(
                self._threads, encode_until, model.classifier, texts, deadline, over
            )
            try:
                encoded = await awaited(running, deadline, disconnected)
            finally:
                over.set()
        refuse_too_long(encoded, request, model)
        return encoded


def refuse_too_long(encoded: Sequence[Encoded], request: ClassifyRequest, model: ServedModel) -> None:
    """Raise InvalidContent for the first truncated text if the request has `on_too_long: error`."""
    if request.on_too_long != "error":
        return
    for position, item in enumerate(encoded):
        if item.truncated:
            field = request.field_of(position)
            raise InvalidContent(
                f"{field} has {item.tokens} tokens, and the model reads {model.classifier.max_length}: "
                "shorten it, or send on_too_long: truncate",
                code="text_too_long",
                field=field,
            )


def encode_until(
    classifier: Classifier, texts: Sequence[str], deadline: float, over: threading.Event
) -> list[Encoded]:
    """Encode the texts, a bounded part at a time; stops when the deadline has passed or `over` is set."""
    encoded: list[Encoded] = []
    for part in _parts(texts):
        if over.is_set() or time.monotonic() >= deadline:
            raise deadline_passed()
        encoded += classifier.encode(part)
    return encoded


def _parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Slices of the texts with at most _ENCODED_AT_ONCE characters each, or one longer text."""
    first, characters = 0, 0
    for position, text in enumerate(texts):
        if characters and characters + len(text) > _ENCODED_AT_ONCE:
            yield texts[first:position]
            first, characters = position, 0
        characters += len(text)
    yield texts[first:]
