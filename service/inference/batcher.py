"""Dynamic batching across requests: a bounded queue, and threads that compute as soon as they are free."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from classifier import PredictionFailed
from service.errors import DeadlinePassed, PredictionBroken, QueueFull, ServiceError, ShuttingDown, WorkerDead
from service.inference.cache import AnswerCache, CachedAnswer
from service.inference.jobs import ComputedBatch, Item, Job
from service.inference.queue import LengthBucketedQueue, SingleFlight

logger = logging.getLogger(__name__)

_SMOOTHING = 0.2
"""Weight of the newest batch in the measured rate."""
_FIRST_GUESS = 50.0
"""Texts a second, until a batch has been measured."""
_LONGEST_RETRY = 60.0
_ALMOST_FULL = 0.02
"""Free share of the queue below which lists are refused before they are parsed."""


class IdleTask(Protocol):
    """Work that a thread does in small pieces while no request waits."""

    @property
    def pending(self) -> bool:
        """Whether there is anything to do."""
        ...

    def step(self) -> None:
        """Do a small piece of it."""
        ...


class IdleTasks:
    """Several idle tasks as one; they take turns."""

    def __init__(self, *tasks: IdleTask) -> None:
        self._tasks = tasks
        self._next = 0

    @property
    def pending(self) -> bool:
        """Whether any has something to do."""
        return any(task.pending for task in self._tasks)

    def step(self) -> None:
        """Do a small piece of the next one that has something to do."""
        for _ in self._tasks:
            task = self._tasks[self._next]
            self._next = (self._next + 1) % len(self._tasks)
            if task.pending:
                task.step()
                return


@dataclass(slots=True, eq=False)
class _Worker:
    """State of one thread."""

    current_batch: list[Item] = field(default_factory=list)
    busy_since: float | None = None
    exclusive: bool = True
    """Whether its batch may use every core: nothing else was queued or being computed when it was taken."""


class Batcher:
    """Computes jobs in batches in worker threads, and delivers each batch as soon as it is computed.

    There is no batching delay: a batch is taken from the queue at the moment a thread is free. Jobs whose client has
    disconnected or whose deadline has passed are dropped before they are computed. A text on which the model fails is
    isolated by halving its batch, and only its request fails.

    While several batches wait, each worker computes one on one core, so that cores do not wait for one another; a batch
    with nothing beside it uses every core.

    A text that is queued more than once is computed once: requests for a text that is being computed share its result,
    and the cache is read again when a text leaves the queue.

    Usage::

        batcher = Batcher(deliver, batch_tokens=512, capacity=2000)
        batcher.start()
        batcher.reserve(len(texts))         # QueueFull at once, before any work is spent on the request
        batcher.submit(job)                 # job.future has the answers
        batcher.stop()                      # computes what is queued, then ends

    Args:
        deliver: called with each computed batch; may block, which delays the next batch.
        batch_tokens: padded tokens of one batch.
        capacity: texts that may be queued.
        workers: threads that compute.
        stall_seconds: a batch that takes longer makes `alive` False.
        cache: computed answers; None: no cache.
        idle_task: run piece by piece while no request waits; a piece that fails is logged and skipped.
        observe: called for each computed batch with texts, tokens without padding, padded tokens, seconds.
    """

    def __init__(
        self,
        deliver: Callable[[ComputedBatch], None],
        *,
        batch_tokens: int,
        capacity: int,
        workers: int = 1,
        stall_seconds: float = 120.0,
        cache: AnswerCache | None = None,
        idle_task: IdleTask | None = None,
        observe: Callable[[int, int, int, float], None] = lambda *_: None,
    ) -> None:
        self._deliver = deliver
        self._budget = batch_tokens
        self._capacity = capacity
        self._stall = stall_seconds
        self._cache = cache or AnswerCache(0)
        self._idle_task = idle_task
        self._observe = observe
        self._queue = LengthBucketedQueue()
        self._reserved = 0
        self._in_flight = SingleFlight()
        self._rate = _FIRST_GUESS
        self._stopping = False
        self._dead = False
        self._changed = threading.Condition()
        self._workers = [_Worker() for _ in range(workers)]
        self._threads = [
            threading.Thread(target=self._run, args=(worker,), name=f"batcher-{number}", daemon=True)
            for number, worker in enumerate(self._workers, start=1)
        ]

    # -- called by requests ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout: float | None = None) -> None:
        """Refuse new work, compute what is queued, and join the threads for at most `timeout` seconds."""
        until = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(None if until is None else max(0.0, until - time.monotonic()))

    def reserve(self, texts: int) -> None:
        """Reserve room for `texts` texts.

        Raises:
            QueueFull: there is no room; `retry_after` is the time until there should be, at the measured rate.
            ShuttingDown, WorkerDead: nothing is computed any more.
        """
        with self._changed:
            self._refuse_when_closed()
            self._refuse_above(self._capacity - texts)
            self._reserved += texts

    def refuse_when_almost_full(self) -> None:
        """Raise QueueFull if less than 2 % of the queue, or room for one text, is left."""
        with self._changed:
            self._refuse_above(self._capacity - max(1, round(_ALMOST_FULL * self._capacity)))

    def release(self, texts: int) -> None:
        """Release reserved room of a request that did not become a job."""
        with self._changed:
            self._reserved -= texts

    def submit(self, job: Job, items: Sequence[Item] | None = None) -> None:
        """Queue a job in the room that was reserved for it.

        Args:
            job: the job.
            items: those of its texts that are computed here; None: all.
        """
        with self._changed:
            self._reserved -= len(job.items if items is None else items)
            self._refuse_when_closed()
            self._queue.add(job, items)
            self._changed.notify()

    def wake(self) -> None:
        """Wake a worker, which runs the idle task if no request waits."""
        with self._changed:
            self._changed.notify()

    @property
    def queued(self) -> int:
        """Texts in the queue."""
        return len(self._queue)

    @property
    def more_than_half_full(self) -> bool:
        """Whether more than half of the queue is taken."""
        return len(self._queue) > self._capacity / 2

    @property
    def rate(self) -> float:
        """Texts a second while there is work, smoothed."""
        return self._rate

    @property
    def alive(self) -> bool:
        """Whether work that is submitted now would be computed."""
        now = time.monotonic()
        stalled = any(
            now - since > self._stall for worker in self._workers if (since := worker.busy_since) is not None
        )
        return all(thread.is_alive() for thread in self._threads) and not self._dead and not stalled

    def _refuse_above(self, limit: int) -> None:
        """Raise QueueFull if more than `limit` texts are queued; the caller holds the lock."""
        queued = len(self._queue) + self._reserved
        if queued > limit:
            raise QueueFull(
                f"{queued} texts are waiting already and at most {self._capacity} may: try again later, "
                "or with fewer texts",
                retry_after=min(_LONGEST_RETRY, max(1.0, (queued - limit) / self._rate)),
            )

    def _refuse_when_closed(self) -> None:
        if self._dead:
            raise WorkerDead("the thread that computes has died: the service must be restarted")
        if self._stopping:
            raise ShuttingDown("the service is shutting down: try another instance, or this one later")

    # -- in the worker threads ------------------------------------------------------------------------------------

    def _run(self, worker: _Worker) -> None:
        try:
            while (batch := self._next_batch(worker)) is not None:
                if not batch:
                    self._run_idle_task()
                    continue
                started = time.monotonic()
                uncached = self._answer_cached(batch, started)
                if claimed := self._in_flight.claim(uncached):
                    self._compute(claimed, started, exclusive=worker.exclusive)
                    self._measure(len(claimed), time.monotonic() - started)
        except BaseException:
            logger.exception("a batching thread died")
            self._fail_all()
            raise

    def _next_batch(self, worker: _Worker) -> list[Item] | None:
        """Wait for the next batch; empty: run the idle task; None: stop."""
        with self._changed:
            worker.busy_since = None
            while True:
                self._drop_finished()
                if batch := self._queue.take(self._budget):
                    if len(self._queue):
                        self._changed.notify()  # for a worker that sleeps
                    worker.exclusive = not len(self._queue) and not self._busy
                    worker.current_batch, worker.busy_since = batch, time.monotonic()
                    return batch
                if self._stopping:
                    return None
                if self._idle_task is not None and self._idle_task.pending and not self._busy:
                    worker.busy_since = time.monotonic()
                    return []
                self._changed.wait()

    @property
    def _busy(self) -> int:
        """Workers that compute now."""
        return sum(worker.busy_since is not None for worker in self._workers)

    def _run_idle_task(self) -> None:
        assert self._idle_task is not None, "this is a bug: there is no idle task"
        try:
            self._idle_task.step()
        except Exception:  # no request waits for it, and requests need this thread
            logger.exception("idle_task_failed")

    def _drop_finished(self) -> None:
        now = time.monotonic()
        late = [job for job in self._queue.jobs() if job.over or job.deadline <= now]
        self._queue.drop(late)
        for job in late:
            job.fail(DeadlinePassed("the request's time was over before it was computed"))

    def _answer_cached(self, items: list[Item], taken: float) -> list[Item]:
        """Deliver the texts that have been computed since they were queued; returns the others."""
        model = items[0].job.model
        found = [(item, self._cache.get(model.model_id, item.encoded.text)) for item in items]
        cached = [(item, answer) for item, answer in found if answer is not None]
        if cached:
            rows = np.stack([answer.probabilities for _, answer in cached])
            items_of, stages = [item for item, _ in cached], np.array([answer.stage for _, answer in cached])
            self._deliver_batch(ComputedBatch(model, items_of, rows, taken, time.monotonic(), stages=stages))
        return [item for item, answer in found if answer is None]

    def _compute(self, items: list[Item], taken: float, *, exclusive: bool) -> None:
        """Run a batch; one that fails is halved until the failing texts are isolated."""
        model = items[0].job.model
        started = time.monotonic()
        try:
            rows, stages = model.classifier.infer_staged(
                [item.encoded for item in items], exclusive=exclusive
            )
        except PredictionFailed as error:
            if len(items) == 1:
                for item in (items[0], *self._in_flight.finish(items)[0]):
                    self._fail_item(item, error)
                return
            middle = len(items) // 2
            self._compute(items[:middle], taken, exclusive=exclusive)
            self._compute(items[middle:], taken, exclusive=exclusive)
            return
        computed = time.monotonic()
        costs = [item.cost for item in items]
        self._observe(len(items), sum(costs), max(costs) * len(items), computed - started)
        for item, row, stage in zip(items, rows, stages, strict=True):
            cached = CachedAnswer(row.copy(), item.encoded.tokens, item.encoded.truncated, int(stage))
            self._cache.put(model.model_id, item.encoded.text, cached)
        answered, places = list(items), list(range(len(items)))
        for place, followers in enumerate(self._in_flight.finish(items)):
            answered += followers
            places += [place] * len(followers)
        self._deliver_batch(
            ComputedBatch(model, answered, rows[places], taken, computed, stages=stages[places])
        )

    def _deliver_batch(self, batch: ComputedBatch) -> None:
        try:
            self._deliver(batch)
        except ServiceError as error:
            for item in batch.items:
                item.job.fail(error)

    def _fail_item(self, item: Item, error: PredictionFailed) -> None:
        logger.error(
            "text_broke_model", extra={"fields": {"tokens": item.cost, "reason": type(error).__name__}}
        )
        broken = PredictionBroken(
            "the model cannot compute this text, alone as well: leave it out",
            field=f"text[{item.position}]",
        )
        item.job.fail(broken)

    def _measure(self, texts: int, seconds: float) -> None:
        self._rate += _SMOOTHING * (self._busy * texts / max(seconds, 1e-6) - self._rate)

    def _fail_all(self) -> None:
        with self._changed:
            self._dead = True
            jobs = self._queue.jobs()
            self._queue.drop(jobs)
            items = [
                *self._in_flight.followers(),
                *(item for worker in self._workers for item in worker.current_batch),
            ]
        for job in [*jobs, *(item.job for item in items)]:
            job.fail(WorkerDead("the thread that computes has died: the service must be restarted"))
