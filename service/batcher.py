"""Requests batched across clients: a bounded line, and threads that compute as soon as they are free."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from classifier import PredictionFailed
from service.answer_cache import AnswerCache, Known
from service.errors import DeadlinePassed, PredictionBroken, QueueFull, ServiceError, ShuttingDown, WorkerDead
from service.in_flight import InFlight
from service.jobs import Computed, Item, Job
from service.waiting import WaitingLine

logger = logging.getLogger(__name__)

_SMOOTHING = 0.2
"""Weight of the newest batch in the measured rate."""
_FIRST_GUESS = 50.0
"""Texts a second, until a batch has been measured."""
_LONGEST_RETRY = 60.0


class SpareWork(Protocol):
    """What a thread may do while no request waits."""

    @property
    def waiting(self) -> bool:
        """Whether there is anything to do."""
        ...

    def step(self) -> None:
        """Do a small piece of it."""
        ...


@dataclass(slots=True, eq=False)
class _Lane:
    """What one of the threads is at."""

    in_hand: list[Item] = field(default_factory=list)
    busy_since: float | None = None
    alone: bool = True
    """Whether nothing else was waiting or being computed when it took its batch: then it may use every core."""


class Batcher:
    """Computes jobs in batches, in threads of its own, and hands each batch on as soon as it is computed.

    There is no fixed waiting: a batch is cut from what waits at the moment a thread is free. Work whose client has
    left or whose deadline has passed is dropped before it is computed. A text that breaks the model is found by
    halving its batch, and fails alone.

    Each thread is a lane. While several batches wait, each lane computes one on one core, which costs no waiting of
    cores for one another; a batch with nothing beside it gets every core.

    A text that waits more than once is computed once: who asks for a text that is being computed shares what comes of
    it, and what was computed while a text waited is found in the cache when its turn comes.

    Usage::

        batcher = Batcher(deliver, batch_tokens=512, capacity=2000)
        batcher.start()
        batcher.reserve(len(texts))         # QueueFull at once, before any work is spent on the request
        batcher.submit(job)                 # job.future has the answers
        batcher.stop()                      # computes what waits, then ends

    Args:
        deliver: takes each computed batch; may block, which holds the next batch back.
        batch_tokens: padded tokens of one batch.
        capacity: texts that may wait.
        lanes: threads that compute.
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
        lanes: int = 1,
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
        self._in_flight = InFlight()
        self._rate = _FIRST_GUESS
        self._stopping = False
        self._dead = False
        self._changed = threading.Condition()
        self._lanes = [_Lane() for _ in range(lanes)]
        self._threads = [
            threading.Thread(target=self._run, args=(lane,), name=f"batcher-{number}", daemon=True)
            for number, lane in enumerate(self._lanes, start=1)
        ]

    # -- the side of the requests ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Take no new work, compute what waits, and end the threads; waits for them at most `timeout` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(None if until is None else max(0.0, until - time.monotonic()))

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
        now = time.monotonic()
        stalled = any(
            now - since > self._stall for lane in self._lanes if (since := lane.busy_since) is not None
        )
        return all(thread.is_alive() for thread in self._threads) and not self._dead and not stalled

    def _refuse_when_closed(self) -> None:
        if self._dead:
            raise WorkerDead("the thread that computes has died: the service must be restarted")
        if self._stopping:
            raise ShuttingDown("the service is shutting down: try another instance, or this one later")

    # -- the side of the threads ----------------------------------------------------------------------------------

    def _run(self, lane: _Lane) -> None:
        try:
            while (batch := self._next_batch(lane)) is not None:
                if not batch:
                    self._use_spare_time()
                    continue
                started = time.monotonic()
                unknown = self._answer_known(batch, started)
                if mine := self._in_flight.claim(unknown):
                    self._compute(mine, started, alone=lane.alone)
                    self._measure(len(mine), time.monotonic() - started)
        except BaseException:
            logger.exception("a batching thread died")
            self._die()
            raise

    def _next_batch(self, lane: _Lane) -> list[Item] | None:
        """The lane's next batch, waiting for one if need be; empty when there is time to spare, None at the end."""
        with self._changed:
            lane.busy_since = None
            while True:
                self._drop_what_is_over()
                if batch := self._line.take(self._budget):
                    if len(self._line):
                        self._changed.notify()  # for a lane that sleeps
                    lane.alone = not len(self._line) and not self._busy
                    lane.in_hand, lane.busy_since = batch, time.monotonic()
                    return batch
                if self._stopping:
                    return None
                if self._spare is not None and self._spare.waiting and not self._busy:
                    lane.busy_since = time.monotonic()
                    return []
                self._changed.wait()

    @property
    def _busy(self) -> int:
        """Lanes that compute."""
        return sum(lane.busy_since is not None for lane in self._lanes)

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

    def _compute(self, items: list[Item], taken: float, *, alone: bool) -> None:
        """Run a batch; one that fails is halved until the texts that break the model stand alone."""
        model = items[0].job.model
        started = time.monotonic()
        try:
            rows = model.classifier.infer([item.encoded for item in items], alone=alone)
        except PredictionFailed as error:
            if len(items) == 1:
                for item in (items[0], *self._in_flight.finish(items)[0]):
                    self._fail_alone(item, error)
                return
            middle = len(items) // 2
            self._compute(items[:middle], taken, alone=alone)
            self._compute(items[middle:], taken, alone=alone)
            return
        computed = time.monotonic()
        costs = [item.cost for item in items]
        self._observe(len(items), sum(costs), max(costs) * len(items), computed - started)
        for item, row in zip(items, rows, strict=True):
            known = Known(row.copy(), item.encoded.tokens, item.encoded.truncated)
            self._cache.put(model.model_id, item.encoded.text, known)
        answered, places = list(items), list(range(len(items)))
        for place, followers in enumerate(self._in_flight.finish(items)):
            answered += followers
            places += [place] * len(followers)
        self._hand_over(Computed(model, answered, rows[places], taken, computed))

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
        self._rate += _SMOOTHING * (self._busy * texts / max(seconds, 1e-6) - self._rate)

    def _die(self) -> None:
        with self._changed:
            self._dead = True
            jobs = self._line.jobs()
            self._line.drop(jobs)
            items = [*self._in_flight.everybody(), *(item for lane in self._lanes for item in lane.in_hand)]
        for job in [*jobs, *(item.job for item in items)]:
            job.fail(WorkerDead("the thread that computes has died: the service must be restarted"))
