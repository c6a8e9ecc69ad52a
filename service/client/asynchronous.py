"""The asynchronous client: the synchronous one's calls, and a few requests of a long list at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from service.answers import ClassifyAnswer, FeedbackAnswer, ModelCard
from service.client import calls
from service.client.calls import (
    MAX_BYTES,
    MAX_TEXTS,
    Answers,
    OnTooLong,
    Patience,
    Piece,
    classified,
    content,
    joined,
    pieces,
)
from service.client.errors import Unreachable


class AsyncClient:
    """Calls one service from one event loop.

    Args:
        url, key, source, timeout, patience, max_texts: as for `Client`.
        at_once: requests that are under way at a time.
    """

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        source: str | None = None,
        timeout: float = 60.0,
        patience: Patience | None = None,
        max_texts: int = MAX_TEXTS,
        at_once: int = 4,
    ) -> None:
        self._http = httpx.AsyncClient(base_url=url, headers=calls.headers(key, source), timeout=timeout)
        self._patience = patience or Patience()
        self._max_texts = max_texts
        self._at_once = asyncio.Semaphore(at_once)

    async def classify(
        self,
        text: str | Sequence[str],
        *,
        top_k: int | None = None,
        on_too_long: OnTooLong = "truncate",
        deadline: float | None = None,
    ) -> Answers:
        """Labels of one text or of many, in order; see `Client.classify`."""
        chosen = calls.options(top_k, on_too_long)
        extra = calls.deadline(deadline)

        async def one(piece: Piece) -> ClassifyAnswer:
            return classified(
                await self._send("POST", "/classify", json=piece.body, headers=extra), piece.first
            )

        cut = pieces(text, chosen, texts=self._max_texts, size=MAX_BYTES)
        # When one request is refused, the others are cancelled.
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(one(piece)) for piece in cut]
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return joined([task.result() for task in tasks])

    async def feedback(self, labels: Mapping[str, str]) -> FeedbackAnswer:
        """Send true labels: prediction id → label; see `Client.feedback`."""
        found = FeedbackAnswer(accepted=0, unknown=[])
        everything = calls.items(labels)
        for start in range(0, max(1, len(everything)), self._max_texts):
            body = {"feedback": everything[start : start + self._max_texts]}
            answer = FeedbackAnswer.model_validate(content(await self._send("POST", "/feedback", json=body)))
            found.accepted += answer.accepted
            found.unknown += answer.unknown
        return found

    async def model(self) -> ModelCard:
        """The model that answers now; see `Client.model`."""
        return ModelCard.model_validate(content(await self._send("GET", "/model")))

    async def ready(self) -> bool:
        """Whether the service would answer now; False also where no server listens."""
        try:
            return (await self._http.get("/readyz")).is_success
        except httpx.TransportError:
            return False

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _send(self, method: str, path: str, **what: Any) -> httpx.Response:
        tries, spent = 0, 0.0
        async with self._at_once:
            while True:
                tries += 1
                outcome: httpx.Response | httpx.TransportError
                try:
                    outcome = await self._http.request(method, path, **what)
                except httpx.TransportError as error:
                    outcome = error
                pause = self._patience.pause(outcome, tries, spent)
                if pause is not None:
                    await asyncio.sleep(pause)
                    spent += pause
                elif isinstance(outcome, httpx.Response):
                    return outcome
                else:
                    raise Unreachable(
                        f"{self._http.base_url} gave no answer in {tries} tries: {outcome!r}"
                    ) from outcome
