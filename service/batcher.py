"""Requests batched across clients: a bounded line, and one thread that computes as soon as it is free."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from classifier import PredictionFailed
from service.answer_cache import AnswerCache, Known
from service.errors import DeadlinePassed, PredictionBroken, QueueFull, ServiceError, ShuttingDown, WorkerDead
from service.jobs import Computed, Item, Job
from service.waiting import WaitingLine

logger = logging.getLogger(__name__)

_SMOOTHING = 0.2
"""Weight of the newest batch in the measured rate."""
_FIRST_GUESS = 50.0
"""Texts a second, until a batch has been measured."""
_LONGEST_RETRY = 60.0


class SpareWork(Protocol):
    """What the thread may do while no request waits."""

    @property
    def waiting(self) -> bool:
        """Whether there is anything to do."""
        ...

    def step(self) -> None:
        """Do a small piece of it."""
        ...


class Batcher:
    """Computes jobs in batches, in a thread of its own, and hands each batch on as soon as it is computed.

    There is no fixed waiting: a batch is cut from what waits at the moment the thread is free. Work whose client has
    left or whose deadline has passed is dropped before it is computed. A text that breaks the model is found by
    halving its batch, and fails alone.

    A text that waits more than once is computed once: equal texts are as long as one another, so they share a batch,
    and what was computed while a text waited is found in the cache when its turn comes.

    Usage::

        batcher = Batcher(deliver, batch_tokens=1024, capacity=2000)
        batcher.start()
        batcher.reserve(len(texts))         # QueueFull at once, before any work is spent on the request
        batcher.submit(job)                 # job.future has the answers
        batcher.stop()                      # computes what waits, then ends

    Args:
        deliver: takes each computed batch; may block, which holds the next batch back.
        batch_tokens: padded tokens of one batch.
        capacity: texts that may wait.
        stall_seconds: a batch that takes longer makes `alive` False.
        cache: answers that are known; None knows none.
        spare: work for when no request waits, a piece at a time; a piece that fails is logged and left.
        observe: told of each computed batch: texts, tokens that the texts have, padded tokens, seconds.
    """

    def __init__(
        self,
        deliver: Callable[[Computed], None],
        *,
        batch_tokens: int,
        capacity: int,
        stall_seconds: float = 120.0,
        cache: AnswerCache | None = None,
        spare: SpareWork | None = None,
        observe: Callable[[int, int, int, float], None] = lambda *_: None,
    ) -> None:
        self._deliver = deliver
        self._budget = batch_tokens
        self._capacity = capacity
        self._stall = stall_seconds
        self._cache = cache or AnswerCache(0)
        self._spare = spare
        self._observe = observe
        self._line = WaitingLine()
        self._reserved = 0
        self._in_hand: list[Item] = []
        self._busy_since: float | None = None
        self._rate = _FIRST_GUESS
        self._stopping = False
        self._dead = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)

    # -- the side of the requests ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Take no new work, compute what waits, and end the thread; waits for it at most `timeout` seconds."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout)

    def reserve(self, texts: int) -> None:
        """Claim room for `texts` texts.

        Raises:
            QueueFull: there is none; `retry_after` is when there should be, at the measured rate.
            ShuttingDown, WorkerDead: nothing is computed any more.
        """
        with self._changed:
            self._refuse_when_closed()
            waiting = len(self._line) + self._reserved
            if waiting + texts > self._capacity:
                too_many = waiting + texts - self._capacity
                raise QueueFull(
                    f"{waiting} texts are waiting already and at most {self._capacity} may: try again later, "
                    "or with fewer texts",
                    retry_after=min(_LONGEST_RETRY, max(1.0, too_many / self._rate)),
                )
            self._reserved += texts

    def release(self, texts: int) -> None:
        """Give reserved room back, for a request that did not become a job."""
        with self._changed:
            self._reserved -= texts

    def submit(self, job: Job) -> None:
        """Put a job in line, into the room that was reserved for it."""
        with self._changed:
            self._reserved -= len(job.items)
            self._refuse_when_closed()
            self._line.add(job)
            self._changed.notify()

    def nudge(self) -> None:
        """Look at the spare work now, if no request waits."""
        with self._changed:
            self._changed.notify()

    @property
    def waiting(self) -> int:
        """Texts in line."""
        return len(self._line)

    @property
    def rate(self) -> float:
        """Texts a second while there is work, smoothed."""
        return self._rate

    @property
    def alive(self) -> bool:
        """Whether work that is submitted now would be computed."""
        busy_since = self._busy_since
        stalled = busy_since is not None and time.monotonic() - busy_since > self._stall
        return self._thread.is_alive() and not self._dead and not stalled

    def _refuse_when_closed(self) -> None:
        if self._dead:
            raise WorkerDead("the thread that computes has died: the service must be restarted")
        if self._stopping:
            raise ShuttingDown("the service is shutting down: try another instance, or this one later")

    # -- the side of the thread -----------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while (batch := self._next_batch()) is not None:
                started = time.monotonic()
                self._busy_since = started
                if not batch:
                    self._use_spare_time()
                elif unknown := self._answer_known(batch, started):
                    self._compute(unknown, started)
                    self._measure(len(unknown), time.monotonic() - started)
                self._busy_since = None
        except BaseException:
            logger.exception("the batching thread died")
            self._die()
            raise

    def _next_batch(self) -> list[Item] | None:
        """The next batch, waiting for one if need be; empty when there is time to spare, None at the end."""
        with self._changed:
            while True:
                self._drop_what_is_over()
                if batch := self._line.take(self._budget):
                    self._in_hand = batch
                    return batch
                if self._stopping:
                    return None
                if self._spare is not None and self._spare.waiting:
                    return []
                self._changed.wait()

    def _use_spare_time(self) -> None:
        assert self._spare is not None, "this is a bug: there is no spare work"
        try:
            self._spare.step()
        except Exception:  # whatever it is: nobody waits for it, and the requests need this thread
            logger.exception("spare_work_failed")

    def _drop_what_is_over(self) -> None:
        now = time.monotonic()
        late = [job for job in self._line.jobs() if job.over or job.deadline <= now]
        self._line.drop(late)
        for job in late:
            job.fail(DeadlinePassed("the request's time was over before it was computed"))

    def _answer_known(self, items: list[Item], taken: float) -> list[Item]:
        """Deliver those texts that have been computed since they came; returns the others."""
        model = items[0].job.model
        found = [(item, self._cache.get(model.model_id, item.encoded.text)) for item in items]
        known = [(item, answer) for item, answer in found if answer is not None]
        if known:
            rows = np.stack([answer.probabilities for _, answer in known])
            self._hand_over(Computed(model, [item for item, _ in known], rows, taken, time.monotonic()))
        return [item for item, answer in found if answer is None]

    def _compute(self, items: list[Item], taken: float) -> None:
        """Run a batch; one that fails is halved until the texts that break the model stand alone."""
        model = items[0].job.model
        started = time.monotonic()
        unique, places = _unique(items)
        try:
            rows = model.classifier.infer([item.encoded for item in unique])
        except PredictionFailed as error:
            if len(items) == 1:
                self._fail_alone(items[0], error)
                return
            middle = len(items) // 2
            self._compute(items[:middle], taken)
            self._compute(items[middle:], taken)
            return
        computed = time.monotonic()
        costs = [item.cost for item in unique]
        self._observe(len(unique), sum(costs), max(costs) * len(unique), computed - started)
        for item, row in zip(unique, rows, strict=True):
            known = Known(row.copy(), item.encoded.tokens, item.encoded.truncated)
            self._cache.put(model.model_id, item.encoded.text, known)
        self._hand_over(Computed(model, items, rows[places], taken, computed))

    def _hand_over(self, batch: Computed) -> None:
        try:
            self._deliver(batch)
        except ServiceError as error:
            for item in batch.items:
                item.job.fail(error)

    def _fail_alone(self, item: Item, error: PredictionFailed) -> None:
        logger.error(
            "text_broke_model", extra={"fields": {"tokens": item.cost, "reason": type(error).__name__}}
        )
        broken = PredictionBroken(
            "the model cannot compute this text, alone as well: leave it out", field=f"text[{item.position}]"
        )
        item.job.fail(broken)

    def _measure(self, texts: int, seconds: float) -> None:
        self._rate += _SMOOTHING * (texts / max(seconds, 1e-6) - self._rate)

    def _die(self) -> None:
        with self._changed:
            self._dead = True
            jobs = [*self._line.jobs(), *(item.job for item in self._in_hand)]
            self._line.drop(jobs)
        for job in jobs:
            job.fail(WorkerDead("the thread that computes has died: the service must be restarted"))


def _unique(items: Sequence[Item]) -> tuple[list[Item], list[int]]:
    """The first item of each text, and for every item which of those has its text."""
    first: dict[str, int] = {}
    unique: list[Item] = []
    places = []
    for item in items:
        place = first.setdefault(item.encoded.text, len(unique))
        if place == len(unique):
            unique.append(item)
        places.append(place)
    return unique, places
