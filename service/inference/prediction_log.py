"""The prediction log: every prediction is committed before it is answered."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Protocol

import numpy as np

from service.errors import StoreUnavailable, WorkerDead
from service.inference.jobs import Answer, ComputedBatch, Item
from stores.errors import PredictionStoreError
from stores.predictions import Prediction, new_prediction_id

logger = logging.getLogger(__name__)

_MAX_QUEUED = 64
"""Computed batches that may wait for the store; past it the batcher blocks, so that memory stays bounded."""
_MAX_OFFERED = 256
"""The same of requests that were answered from the cache, past which one is computed; most hold one text."""
_DECIMALS = 6


class PredictionWriter(Protocol):
    """A PredictionStore or a PredictionSink."""

    def add(self, rows: Sequence[Prediction]) -> None:
        """Commit all rows or none; raises PredictionStoreError."""


class PredictionLog:
    """Turns computed batches into answers in a separate thread, so that the next batch is computed meanwhile.

    Each commit takes every batch in the queue: one transaction a batch when the store keeps up, fewer when it does not.
    When a commit fails, the requests of its batches fail: no answer is sent that is not logged.

    Args:
        store: returns the writer; None: predictions are not logged.
        observe: called for each commit with rows and seconds.
    """

    def __init__(
        self,
        store: Callable[[], PredictionWriter] | None,
        *,
        observe: Callable[[int, float], None] = lambda *_: None,
    ) -> None:
        self._store = store
        self._observe = observe
        self._queue: queue.SimpleQueue[tuple[ComputedBatch, bool] | None] = queue.SimpleQueue()
        """Batches, each with whether it holds one of `_room`; None: stop."""
        self._room = threading.Semaphore(_MAX_QUEUED)
        self._dead = False
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Finish the queued batches, and join the thread."""
        if self.alive:
            self._queue.put(None)
        self._thread.join(timeout)

    @property
    def alive(self) -> bool:
        """Whether a batch that is queued now would be answered."""
        return self._thread.is_alive() and not self._dead

    def put(self, batch: ComputedBatch) -> None:
        """Queue a computed batch; blocks while the queue is full.

        Raises:
            WorkerDead: the thread has died.
        """
        while self.alive:
            if self._room.acquire(timeout=1.0):
                self._queue.put((batch, True))
                return
        raise WorkerDead("the thread that logs predictions has died: the service must be restarted")

    def offer(self, batch: ComputedBatch) -> bool:
        """Queue a computed batch unless the queue is full; returns whether it was queued."""
        if not self.alive or self._queue.qsize() >= _MAX_OFFERED:
            return False
        self._queue.put((batch, False))
        return True

    def _run(self) -> None:
        batches: list[ComputedBatch] = []
        try:
            while batches := self._queued():
                self._answer(batches)
        except BaseException:
            logger.exception("the prediction log's thread died")
            self._dead = True
            unanswered = [*batches, *(batch for batch, _ in self._rest())]
            for item in chain.from_iterable(batch.items for batch in unanswered):
                item.job.fail(WorkerDead("the thread that logs predictions has died: restart the service"))
            raise

    def _queued(self) -> list[ComputedBatch]:
        """Wait for batches and return all that are queued; empty: stop."""
        first = self._queue.get()
        if first is None:
            return []
        queued = [first, *self._rest()]
        for _, holds_room in queued:
            if holds_room:
                self._room.release()
        return [batch for batch, _ in queued]

    def _rest(self) -> list[tuple[ComputedBatch, bool]]:
        rest: list[tuple[ComputedBatch, bool]] = []
        while True:
            try:
                queued = self._queue.get_nowait()
            except queue.Empty:
                return rest
            if queued is None:
                self._queue.put(None)  # stop after these
                return rest
            rest.append(queued)

    def _answer(self, batches: list[ComputedBatch]) -> None:
        answered = [(batch, _answers(batch)) for batch in batches]
        if self._store is not None:
            rows = list(chain.from_iterable(_rows(batch, answers) for batch, answers in answered))
            started = time.monotonic()
            try:
                self._store().add(rows)
            except PredictionStoreError as error:
                logger.error(
                    "predictions_not_logged", extra={"fields": {"rows": len(rows), "reason": str(error)}}
                )
                refusal = StoreUnavailable(
                    "the prediction could not be logged, so it is not answered: try again"
                )
                for item in chain.from_iterable(batch.items for batch in batches):
                    item.job.fail(refusal)
                return
            self._observe(len(rows), time.monotonic() - started)
        for batch, answers in answered:
            for item, answer in zip(batch.items, answers, strict=True):
                item.job.last_batch = batch
                item.job.answer(item.position, answer)


def _answers(batch: ComputedBatch) -> list[Answer]:
    labels = batch.model.classifier.labels
    orders = np.argsort(-batch.probabilities, axis=1, kind="stable")
    values = np.round(batch.probabilities.astype(np.float64), _DECIMALS)
    return [
        Answer(
            new_prediction_id(),
            [(labels[column], float(row[column])) for column in order],
            item.encoded.tokens,
            item.encoded.truncated,
            batch.stage(place),
        )
        for place, (item, row, order) in enumerate(zip(batch.items, values, orders, strict=True))
    ]


def _rows(batch: ComputedBatch, answers: list[Answer]) -> Iterator[Prediction]:
    """Rows to commit, without those of requests that are over."""
    for item, answer in zip(batch.items, answers, strict=True):
        if item.job.over:
            continue
        label, score = answer.scores[0]
        yield Prediction(
            text=item.encoded.text,
            label=label,
            score=score,
            scores=dict(answer.scores),
            tokens=answer.tokens,
            truncated=answer.truncated,
            model_name=batch.model.name,
            model_version=batch.model.version,
            model_alias=batch.model.alias,
            request_id=item.job.request_id,
            source=item.job.source,
            key_name=item.job.key_name,
            id=answer.id,
            seconds=_seconds(batch, item),
            stage=answer.stage,
        )


def _seconds(batch: ComputedBatch, item: Item) -> float | None:
    """Latency of the answer without this log. None for a cached answer, so that the state of the cache does not look
    like a change of the service's speed."""
    return None if batch.cached else max(0.0, batch.computed - item.job.began)
