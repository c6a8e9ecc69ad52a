"""The prediction log: every prediction is committed before its answer leaves."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from itertools import chain

import numpy as np

from service.errors import StoreUnavailable, WorkerDead
from service.jobs import Answer, Computed, Item
from stores.errors import PredictionStoreError
from stores.predictions import Prediction, PredictionStore, new_prediction_id

logger = logging.getLogger(__name__)

_BATCHES_WAITING = 8
"""Computed batches that may wait for the store; past it the batcher waits, so that memory stays bounded."""
_DECIMALS = 6


class PredictionLog:
    """Turns computed batches into answers, in a thread of its own, so that the next batch is computed meanwhile.

    Each commit takes every batch that waits: one transaction a batch when the store keeps up, fewer when it does not.
    When the store fails, the requests of those batches fail too: nothing is answered that is not logged.

    Args:
        store: opens the store, again after a failure; None keeps no log.
        observe: told of each commit: rows, seconds.
    """

    def __init__(
        self,
        store: Callable[[], PredictionStore] | None,
        *,
        observe: Callable[[int, float], None] = lambda *_: None,
    ) -> None:
        self._store = store
        self._observe = observe
        self._queue: queue.Queue[Computed | None] = queue.Queue(maxsize=_BATCHES_WAITING)
        self._dead = False
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Finish what waits, and end the thread."""
        if self.alive:
            self._queue.put(None)
        self._thread.join(timeout)

    @property
    def alive(self) -> bool:
        """Whether a batch that is handed over now would be answered."""
        return self._thread.is_alive() and not self._dead

    def put(self, batch: Computed) -> None:
        """Hand over a computed batch; blocks while too many wait.

        Raises:
            WorkerDead: nobody would answer it.
        """
        while self.alive:
            try:
                return self._queue.put(batch, timeout=1.0)
            except queue.Full:
                continue
        raise WorkerDead("the thread that logs predictions has died: the service must be restarted")

    def offer(self, batch: Computed) -> bool:
        """Hand over a computed batch if there is room for it at once, and say whether there was."""
        if not self.alive:
            return False
        try:
            self._queue.put_nowait(batch)
        except queue.Full:
            return False
        return True

    def _run(self) -> None:
        batches: list[Computed] = []
        try:
            while batches := self._waiting():
                self._answer(batches)
        except BaseException:
            logger.exception("the prediction log's thread died")
            self._dead = True
            for item in chain.from_iterable(batch.items for batch in [*batches, *self._rest()]):
                item.job.fail(WorkerDead("the thread that logs predictions has died: restart the service"))
            raise

    def _waiting(self) -> list[Computed]:
        """Every batch that waits, at least one; empty when the log is to end."""
        first = self._queue.get()
        return [] if first is None else [first, *self._rest()]

    def _rest(self) -> list[Computed]:
        rest: list[Computed] = []
        while True:
            try:
                batch = self._queue.get_nowait()
            except queue.Empty:
                return rest
            if batch is None:
                self._queue.put(None)  # the end comes after these
                return rest
            rest.append(batch)

    def _answer(self, batches: list[Computed]) -> None:
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


def _answers(batch: Computed) -> list[Answer]:
    labels = batch.model.classifier.labels
    orders = np.argsort(-batch.probabilities, axis=1, kind="stable")
    values = np.round(batch.probabilities.astype(np.float64), _DECIMALS)
    return [
        Answer(
            new_prediction_id(),
            [(labels[column], float(row[column])) for column in order],
            item.encoded.tokens,
            item.encoded.truncated,
        )
        for item, row, order in zip(batch.items, values, orders, strict=True)
    ]


def _rows(batch: Computed, answers: list[Answer]) -> Iterator[Prediction]:
    """What to commit; answers that nobody waits for any more are left out."""
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
            id=answer.id,
            seconds=_seconds(batch, item),
        )


def _seconds(batch: Computed, item: Item) -> float | None:
    """How long the answer was on its way, this log left out. None where it was known: a cache that fills is no faster
    service, and one that was emptied is no slower one."""
    return None if batch.remembered else max(0.0, batch.computed - item.job.began)
