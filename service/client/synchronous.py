"""The synchronous client."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import httpx

from service.answers import FeedbackAnswer, ModelCard
from service.client import calls
from service.client.calls import (
    MAX_BYTES,
    MAX_TEXTS,
    Answers,
    OnTooLong,
    Patience,
    classified,
    content,
    joined,
    pieces,
)
from service.client.errors import Unreachable


class Client:
    """Calls one service; usable from several threads.

    Args:
        url: where it listens: `http://127.0.0.1:3000`.
        key: one of its API_KEYS.
        source: where the requests come from, such as `load` or `test`; None is `api`. Monitoring and retraining look at
            the service's TRAFFIC_SOURCES only.
        timeout: seconds to wait for one answer.
        patience: how long a refused request is tried again.
        max_texts: texts of one request; longer lists are cut. At most the service's MAX_TEXTS.
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
    ) -> None:
        self._http = httpx.Client(base_url=url, headers=calls.headers(key, source), timeout=timeout)
        self._patience = patience or Patience()
        self._max_texts = max_texts

    def classify(
        self,
        text: str | Sequence[str],
        *,
        top_k: int | None = None,
        on_too_long: OnTooLong = "truncate",
        deadline: float | None = None,
    ) -> Answers:
        """Labels of one text or of many, in order.

        Args:
            text: a text, or a list of any length.
            top_k: labels to list of each; all unless given.
            on_too_long: what to do with a text that is longer than the model reads.
            deadline: seconds after which an answer to one request is of no use.

        Raises:
            Refused: the service refused a text or the request; no answers are returned.
            Unreachable: the service did not answer.
        """
        chosen = calls.options(top_k, on_too_long)
        cut = pieces(text, chosen, texts=self._max_texts, size=MAX_BYTES)
        extra = calls.deadline(deadline)
        answers = [
            classified(self._send("POST", "/classify", json=piece.body, headers=extra), piece.first)
            for piece in cut
        ]
        return joined(answers)

    def feedback(self, labels: Mapping[str, str]) -> FeedbackAnswer:
        """Send true labels: prediction id → label. Idempotent.

        Raises:
            Refused, Unreachable: as for `classify`; labels of requests that went before are kept.
        """
        found = FeedbackAnswer(accepted=0, unknown=[])
        everything = calls.items(labels)
        for start in range(0, max(1, len(everything)), self._max_texts):
            body = {"feedback": everything[start : start + self._max_texts]}
            answer = FeedbackAnswer.model_validate(content(self._send("POST", "/feedback", json=body)))
            found.accepted += answer.accepted
            found.unknown += answer.unknown
        return found

    def model(self) -> ModelCard:
        """The model that answers now.

        Raises:
            Refused, Unreachable: as for `classify`.
        """
        return ModelCard.model_validate(content(self._send("GET", "/model")))

    def ready(self) -> bool:
        """Whether the service would answer now; False also where no server listens."""
        try:
            return self._http.get("/readyz").is_success
        except httpx.TransportError:
            return False

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, method: str, path: str, **what: Any) -> httpx.Response:
        tries, spent = 0, 0.0
        while True:
            tries += 1
            outcome: httpx.Response | httpx.TransportError
            try:
                outcome = self._http.request(method, path, **what)
            except httpx.TransportError as error:
                outcome = error
            pause = self._patience.pause(outcome, tries, spent)
            if pause is not None:
                time.sleep(pause)
                spent += pause
            elif isinstance(outcome, httpx.Response):
                return outcome
            else:
                raise Unreachable(
                    f"{self._http.base_url} gave no answer in {tries} tries: {outcome!r}"
                ) from outcome
