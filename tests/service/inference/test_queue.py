"""The line: whose turn it is, what fills a batch, what is dropped."""

from __future__ import annotations

import random

import pytest

from classifier import Encoded
from service.inference.jobs import Item, Job, ServedModel
from service.inference.queue import LengthBucketedQueue
from tests.support.engines import served


@pytest.fixture(scope="module")
def model(classifier) -> ServedModel:
    return served(classifier)


def job_of(model: ServedModel, *costs: int) -> Job:
    encoded = [Encoded("text", tuple(range(cost)), cost, truncated=False) for cost in costs]
    return Job(model, encoded, deadline=float("inf"))


def drained(line: LengthBucketedQueue, budget: int) -> list[list[Item]]:
    batches = []
    while batch := line.take(budget):
        batches.append(batch)
    return batches


def padded(batch: list[Item]) -> int:
    return max(item.cost for item in batch) * len(batch)


def test_an_empty_line_has_no_batch():
    assert LengthBucketedQueue().take(100) == []


def test_texts_of_like_length_fill_the_batch_of_the_oldest(model):
    line = LengthBucketedQueue()
    for job in (oldest := job_of(model, 50), job_of(model, 5), job_of(model, 48), job_of(model, 52)):
        line.add(job)
    batch = line.take(160)
    assert oldest.items[0] in batch
    assert sorted(item.cost for item in batch) == [48, 50, 52]
    assert [item.cost for item in line.take(160)] == [5]


def test_every_text_comes_once_and_every_batch_fits(model):
    rng = random.Random(7)
    line, jobs = LengthBucketedQueue(), []
    for _ in range(40):
        jobs.append(job_of(model, *(rng.randint(1, 300) for _ in range(rng.choice([1, 1, 3, 30])))))
        line.add(jobs[-1])
    assert len(line) == sum(len(job.items) for job in jobs)
    batches = drained(line, 512)
    assert len(line) == 0
    assert line.jobs() == []
    seen = [id(item) for batch in batches for item in batch]
    assert sorted(seen) == sorted(id(item) for job in jobs for item in job.items)
    assert all(padded(batch) <= 512 or len(batch) == 1 for batch in batches)


def test_padding_stays_small_when_many_lengths_wait(model):
    rng = random.Random(3)
    line = LengthBucketedQueue()
    for _ in range(400):
        line.add(job_of(model, rng.randint(5, 128)))
    batches = drained(line, 1024)
    computed = sum(padded(batch) for batch in batches)
    needed = sum(item.cost for batch in batches for item in batch)
    assert computed < 1.15 * needed


def test_padding_stays_small_for_few_different_lengths(model):
    rng = random.Random(5)
    line = LengthBucketedQueue()
    for _ in range(32):
        line.add(job_of(model, rng.randint(20, 128)))
    for batch in drained(line, 2048):
        needed = sum(item.cost for item in batch)
        assert padded(batch) <= 256 or needed >= 0.85 * padded(batch)


def test_short_texts_share_a_batch_though_they_differ(model):
    line = LengthBucketedQueue()
    for cost in (4, 9, 15, 28):
        line.add(job_of(model, cost))
    assert len(line.take(2048)) == 4


def test_a_text_above_the_budget_is_a_batch_by_itself(model):
    line = LengthBucketedQueue()
    line.add(job_of(model, 900))
    line.add(job_of(model, 890))
    assert [[item.cost for item in batch] for batch in drained(line, 512)] == [[900], [890]]


def test_a_long_list_does_not_hold_up_a_single_text(model):
    line = LengthBucketedQueue()
    line.add(job_of(model, *[100] * 1000))
    line.add(single := job_of(model, 7))
    batches = drained(line, 800)
    assert next(place for place, batch in enumerate(batches) if single.items[0] in batch) <= 1


def test_a_short_text_is_not_starved_by_long_ones(model):
    line = LengthBucketedQueue()
    line.add(job_of(model, *[300] * 50))
    line.add(lonely := job_of(model, 2))
    for _ in range(2):
        line.add(job_of(model, *[300] * 50))
        if lonely.items[0] in line.take(600):
            break
    else:
        raise AssertionError("two batches went by without the short text")


def test_like_jobs_finish_in_order_in_a_full_queue(model):
    line = LengthBucketedQueue()
    waiting = [job_of(model, *[100] * 20) for _ in range(50)]
    for job in waiting:
        line.add(job)
    batches_of_a_queue = 50 * 20 // 4
    left, waits, arrived = dict.fromkeys(waiting, 20), [], dict.fromkeys(waiting, 0)
    for taken in range(4 * batches_of_a_queue):
        for item in line.take(400):
            left[item.job] -= 1
            if not left[item.job]:
                waits.append(taken - arrived[item.job])
                line.add(new := job_of(model, *[100] * 20))
                left[new], arrived[new] = 20, taken
    # By turns alone each would wait for twice the length of the queue.
    assert max(waits) <= 1.5 * batches_of_a_queue


def test_texts_of_two_models_never_share_a_batch(model, classifier):
    other = served(classifier, version="2")
    line = LengthBucketedQueue()
    for position in range(10):
        line.add(job_of(model if position % 2 else other, 10))
    batches = drained(line, 1000)
    assert [len(batch) for batch in batches] == [5, 5]
    assert all(len({item.job.model for item in batch}) == 1 for batch in batches)


def test_dropped_jobs_leave_nothing_behind(model):
    line = LengthBucketedQueue()
    line.add(kept := job_of(model, 10, 20))
    line.add(dropped := job_of(model, 10, 20, 30))
    assert line.drop([dropped]) == 3
    assert line.drop([dropped]) == 0
    assert line.jobs() == [kept]
    assert [item.job for batch in drained(line, 1000) for item in batch] == [kept, kept]
