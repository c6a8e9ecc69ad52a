"""The batcher: computed once, dropped when late, refused when full, and never silently dead."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from service.errors import DeadlinePassed, PredictionBroken, QueueFull, ShuttingDown, WorkerDead
from service.inference.batcher import Batcher
from service.inference.jobs import Answer, ComputedBatch, Job
from tests import golden_messages as messages
from tests.support.engines import DEADLY, POISON, Trained, served


class Desk:
    """A batcher with a model in the test's hands; answers carry the probabilities."""

    def __init__(self, classifier: Trained, capacity: int = 100, **options: float) -> None:
        self.trained = classifier
        self.model = served(classifier)
        self.seen: list[tuple[int, int, int, float]] = []
        self.batcher = Batcher(
            self._deliver,
            batch_tokens=1000,
            capacity=capacity,
            observe=lambda *figures: self.seen.append(figures),
            **options,
        )
        self.batcher.start()

    def _deliver(self, batch: ComputedBatch) -> None:
        for item, row in zip(batch.items, batch.probabilities, strict=True):
            label = batch.model.classifier.labels[int(np.argmax(row))]
            item.job.answer(item.position, Answer("id", [(label, float(row.max()))], 1, truncated=False))

    def job(self, *texts: str, seconds: float = 60) -> Job:
        self.batcher.reserve(len(texts))
        job = Job(self.model, self.trained.encode(texts), deadline=time.monotonic() + seconds)
        self.batcher.submit(job)
        return job

    def hold(self) -> Job:
        """A job that the model is computing until `trained.free` is set."""
        self.trained.free.clear()
        self.trained.entered.clear()
        job = self.job("held")
        assert self.trained.entered.wait(10)
        return job


@pytest.fixture
def desk(classifier) -> Iterator[Desk]:
    desk = Desk(Trained(classifier))
    yield desk
    desk.trained.free.set()
    desk.batcher.stop(10)


def test_answers_come_in_the_order_asked(desk, classifier):
    texts = [
        "The striker scored twice.",
        "Shares fell in London.",
        "A very much longer text about the parliament " * 5,
    ]
    answers = desk.job(*texts).future.result(10)
    best = classifier.predict(texts).argmax(axis=1)
    assert [answer.scores[0][0] for answer in answers] == [classifier.labels[i] for i in best]


def test_what_waits_while_the_model_is_busy_becomes_one_batch(desk):
    held = desk.hold()
    jobs = [desk.job(f"text number {number}") for number in range(8)]
    assert desk.batcher.queued == 8
    desk.trained.free.set()
    for job in (held, *jobs):
        job.future.result(10)
    assert [len(batch) for batch in desk.trained.batches] == [1, 8]
    assert [texts for texts, *_ in desk.seen] == [1, 8]
    assert desk.batcher.queued == 0


def test_a_full_line_refuses_at_once_and_says_when_to_come_back(classifier):
    desk = Desk(Trained(classifier), capacity=5)
    held = desk.hold()
    waiting = desk.job("a", "b", "c")
    with pytest.raises(QueueFull, match=messages.QUEUE_FULL) as refusal:
        desk.batcher.reserve(3)
    assert refusal.value.retry_after >= 1
    desk.batcher.reserve(2)
    with pytest.raises(QueueFull):
        desk.batcher.reserve(1)
    desk.batcher.release(2)
    desk.trained.free.set()
    assert len(waiting.future.result(10)) == 3
    assert held.future.result(10)
    desk.batcher.reserve(5)
    desk.batcher.stop(10)


def test_the_wait_that_is_told_follows_the_measured_rate(desk):
    for _ in range(30):
        desk.job("one text").future.result(10)
    fast = desk.batcher.rate
    desk.hold()
    time.sleep(0.3)
    desk.trained.free.set()
    desk.job("another").future.result(10)
    assert desk.batcher.rate < fast


def test_late_work_is_dropped_before_it_is_computed(desk):
    desk.hold()
    late = desk.job("too late", seconds=0.05)
    in_time = desk.job("in time")
    time.sleep(0.1)
    desk.trained.free.set()
    assert in_time.future.result(10)
    assert isinstance(late.future.exception(10), DeadlinePassed)
    assert not any("too late" in batch for batch in desk.trained.batches)


def test_abandoned_work_is_dropped_before_it_is_computed(desk):
    desk.hold()
    abandoned = desk.job("nobody waits", "for these")
    kept = desk.job("somebody waits")
    assert abandoned.future.cancel()
    desk.trained.free.set()
    assert kept.future.result(10)
    assert not any("nobody waits" in batch for batch in desk.trained.batches)


def test_a_text_that_breaks_the_model_fails_alone(desk):
    desk.hold()
    good = [desk.job(f"good text {number}") for number in range(9)]
    bad = desk.job("good", POISON, "good")
    desk.trained.free.set()
    assert all(len(job.future.result(10)) == 1 for job in good)
    error = bad.future.exception(10)
    assert isinstance(error, PredictionBroken)
    assert error.field == "text[1]"
    assert POISON not in str(error)
    assert desk.batcher.alive


def test_a_dead_thread_is_noticed_and_nobody_hangs(classifier, monkeypatch):
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    desk = Desk(Trained(classifier))
    held = desk.hold()
    deadly = desk.job(DEADLY)
    waiting = [desk.job("a quite different and much longer text " * 40) for _ in range(3)]
    desk.trained.free.set()
    assert held.future.result(10)
    for job in (deadly, *waiting):
        try:
            job.future.result(10)
        except WorkerDead:
            continue
        assert job is not deadly
    desk.batcher._threads[0].join(10)
    assert not desk.batcher.alive
    with pytest.raises(WorkerDead, match=messages.WORKER_DEAD):
        desk.batcher.reserve(1)


def test_a_batch_that_takes_too_long_is_no_sign_of_life(classifier):
    desk = Desk(Trained(classifier), stall_seconds=0.05)
    held = desk.hold()
    time.sleep(0.1)
    assert not desk.batcher.alive
    desk.trained.free.set()
    assert held.future.result(10)
    deadline = time.monotonic() + 10
    while not desk.batcher.alive and time.monotonic() < deadline:
        time.sleep(0.01)
    assert desk.batcher.alive
    desk.batcher.stop(10)


def test_stopping_computes_accepted_work_and_refuses_the_rest(desk):
    held = desk.hold()
    accepted = [desk.job(f"accepted {number}") for number in range(5)]
    desk.batcher.stop(0)
    with pytest.raises(ShuttingDown):
        desk.batcher.reserve(1)
    desk.trained.free.set()
    for job in (held, *accepted):
        assert job.future.result(10)


def test_waiting_batches_run_in_parallel_each_on_one_core(classifier):
    desk = Desk(Trained(classifier), workers=2)
    first = desk.hold()
    desk.trained.entered.clear()
    second = desk.job("another text meanwhile")
    assert desk.trained.entered.wait(10)  # though the first has not been computed
    assert not first.future.done()
    desk.trained.free.set()
    assert first.future.result(10)
    assert second.future.result(10)
    assert desk.trained.exclusive == [True, False]
    desk.job("with nothing beside it").future.result(10)
    assert desk.trained.exclusive[-1]
    desk.batcher.stop(10)


def test_concurrent_requests_for_one_text_share_its_result(classifier):
    desk = Desk(Trained(classifier), workers=2)
    held = desk.hold()
    desk.trained.entered.clear()
    same, other = desk.job("held", "held"), desk.job("something else")
    assert desk.trained.entered.wait(10)  # the other lane has passed `same`, and is at this one
    desk.trained.free.set()
    answers = [*held.future.result(10), *same.future.result(10)]
    assert len({answer.scores[0] for answer in answers}) == 1
    assert other.future.result(10)
    assert sum(batch.count("held") for batch in desk.trained.batches) == 1
    desk.batcher.stop(10)


def test_who_shares_a_text_that_breaks_the_model_fails_with_it(classifier):
    desk = Desk(Trained(classifier), workers=2)
    desk.trained.free.clear()
    first = desk.job(POISON)
    assert desk.trained.entered.wait(10)
    second = desk.job(POISON, "good")
    desk.trained.free.set()
    for job in (first, second):
        assert isinstance(job.future.exception(10), PredictionBroken)
    assert desk.batcher.alive
    desk.batcher.stop(10)


def test_a_lane_that_dies_leaves_nobody_of_the_others_waiting(classifier, monkeypatch):
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    desk = Desk(Trained(classifier), workers=2)
    desk.trained.free.clear()
    jobs = [desk.job(DEADLY)]
    assert desk.trained.entered.wait(10)
    # The first of these follows the one that is being computed.
    jobs += [desk.job(DEADLY), desk.job("held on the other lane"), desk.job("waits")]
    desk.trained.free.set()
    assert isinstance(jobs[0].future.exception(10), WorkerDead)
    for job in jobs[1:]:
        assert job.future.exception(10) is None or isinstance(job.future.exception(), WorkerDead)
    assert not desk.batcher.alive
