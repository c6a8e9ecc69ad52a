"""Changes to predictions that are stored: feedback, audits of a cascade, and erasure."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from service.errors import InvalidContent, StoreUnavailable, UnknownPrediction
from service.inference.deadline import deadline_passed
from service.inference.prediction_sink import PredictionSink, StoreHandle, open_store
from service.requests import FeedbackRequest
from stores.errors import PredictionStoreError
from stores.predictions import FeedbackResult
from stores.predictions.audits import add_audits
from stores.predictions.erasure import erase_predictions
from stores.sources import API

logger = logging.getLogger(__name__)

_THREADS = 2


class PredictionUpdates:
    """Writes feedback, audits and erasures in threads.

    Args:
        store: the prediction store.
        sink: what writes predictions to it; None: they are not logged.
        max_items: feedback items of a request.
        labels: returns the labels of the champion; empty while none is loaded.
        on_erased: called, from a thread, when a prediction was erased.
    """

    def __init__(
        self,
        store: StoreHandle,
        sink: PredictionSink | None,
        *,
        max_items: int,
        labels: Callable[[], set[str]],
        on_erased: Callable[[], None],
    ) -> None:
        self._store = store
        self._sink = sink
        self._max_items = max_items
        self._labels = labels
        self._on_erased = on_erased
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="feedback")

    def stop(self) -> None:
        """Finish what is being written, and end the threads."""
        self._threads.shutdown()

    async def feedback(
        self,
        request: FeedbackRequest,
        *,
        deadline: float,
        source: str = API,
        key_name: str | None = None,
        of_key: str | None = None,
    ) -> FeedbackResult:
        """Store true labels; `deadline`, `source` and `key_name` as in `Engine.classify`.

        Args:
            of_key: name of the key whose predictions may be labelled; others are reported as unknown. None: all may.

        Raises:
            InvalidContent: too many items, conflicting ones, or a label that the model does not know.
            StoreUnavailable: they could not be stored.
            DeadlinePassed: they were not stored in time; they may be stored later, and can be sent again.
        """
        if len(request.feedback) > self._max_items:
            raise InvalidContent(
                f"feedback has {len(request.feedback)} items, and at most {self._max_items} are taken at a "
                "time",
                code="too_many_items",
                field="feedback",
            )
        labels = request.labels
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                return await loop.run_in_executor(
                    self._threads, self._keep, request, labels, source, key_name, of_key
                )
        except TimeoutError:
            raise deadline_passed() from None
        except PredictionStoreError as error:
            logger.error("feedback_not_kept", extra={"fields": {"reason": str(error)}})
            raise StoreUnavailable("the feedback could not be kept: try again") from error

    async def erase(self, prediction_id: str, *, of_key: str | None, deadline: float) -> None:
        """Erase a prediction and its labels from the store.

        Args:
            prediction_id: its id.
            of_key: name of the API key whose predictions may be erased; None: all.
            deadline: as in `Engine.classify`.

        Raises:
            UnknownPrediction: there is none with this id, or none of this key.
            StoreUnavailable: it could not be erased, or may still be in the spool.
            DeadlinePassed: it was not erased in time; it may be erased later.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                await loop.run_in_executor(self._threads, self._erase, prediction_id, of_key)
        except TimeoutError:
            raise deadline_passed() from None
        except PredictionStoreError as error:
            logger.error("prediction_not_erased", extra={"fields": {"reason": str(error)}})
            raise StoreUnavailable("the prediction could not be erased: try again") from error

    def _keep(
        self,
        request: FeedbackRequest,
        labels: dict[str, str],
        source: str,
        key_name: str | None,
        of_key: str | None,
    ) -> FeedbackResult:
        store = open_store(self._sink, self._store)
        known = self._labels()
        # A label that the present model lacks may belong to the model that gave the prediction.
        asked = [item.id for item in request.feedback if item.label not in known]
        labels_of = store.labels_of(asked, of_key=of_key) if asked else {}
        for index, item in enumerate(request.feedback):
            if item.label in known:
                continue
            allowed = labels_of.get(item.id, known)
            if allowed and item.label not in allowed:
                raise InvalidContent(
                    f"feedback[{index}].label is not a label of the model; it knows {', '.join(sorted(allowed))}",
                    code="unknown_label",
                    field=f"feedback[{index}].label",
                )
        result = store.add_feedback(labels, source=source, key_name=key_name, of_key=of_key)
        if result.unknown and self._sink is not None and self._sink.may_hold_unsent():
            raise PredictionStoreError("the prediction may be in the spool")
        return result

    def keep_audits(self, labels: Mapping[str, str]) -> None:
        """Write audits to the store in a thread that no answer waits for; those of spooled predictions are not kept."""
        if self._sink is not None and not self._sink.is_away:
            self._threads.submit(self._write_audits, labels)

    def _write_audits(self, labels: Mapping[str, str]) -> None:
        try:
            add_audits(open_store(self._sink, self._store), labels)
        except PredictionStoreError as error:
            logger.warning("audits_not_kept", extra={"fields": {"audits": len(labels), "reason": str(error)}})

    def _erase(self, prediction_id: str, of_key: str | None) -> None:
        store = open_store(self._sink, self._store)
        spooled = self._sink is not None and self._sink.may_hold_unsent()
        found = erase_predictions(store, [prediction_id], of_key=of_key)
        if found.ids:
            self._on_erased()
        elif spooled:
            raise PredictionStoreError("the prediction may be in the spool")
        else:
            raise UnknownPrediction("there is no prediction with this id")
