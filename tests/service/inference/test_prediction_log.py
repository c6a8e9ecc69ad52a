"""The prediction log: committed before answered, or not answered."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text as sql

from service.errors import StoreUnavailable
from service.inference.jobs import ComputedBatch, Job
from service.inference.prediction_log import PredictionLog
from service.inference.prediction_sink import StoreHandle
from stores.errors import PredictionStoreError
from tests.support.engines import served

TEXTS = ["Shares fell in London.", "The striker scored twice."]


@pytest.fixture
def store(tmp_path):
    handle = StoreHandle(f"sqlite:///{tmp_path / 'predictions.db'}")
    yield handle
    handle.close()


def computed(classifier, texts=TEXTS, request_id="r-1", **facts) -> tuple[Job, ComputedBatch]:
    model = served(classifier)
    encoded = classifier.encode(texts)
    job = Job(model, encoded, deadline=time.monotonic() + 60, request_id=request_id, began=100.0)
    return job, ComputedBatch(
        model, job.items, classifier.infer(encoded), taken=100.1, computed=100.25, **facts
    )


def test_an_answer_is_what_was_committed(classifier, store):
    log = PredictionLog(store)
    log.start()
    job, batch = computed(classifier)
    log.put(batch)
    answers = job.future.result(10)
    for text, answer, row in zip(TEXTS, answers, batch.probabilities, strict=True):
        kept = store().get(answer.id)
        assert kept is not None
        assert (kept.text, kept.request_id, kept.model_version) == (text, "r-1", "1")
        assert (kept.label, kept.score) == answer.scores[0]
        assert kept.scores == dict(answer.scores)
        assert [score for _, score in answer.scores] == sorted(kept.scores.values(), reverse=True)
        assert sum(kept.scores.values()) == pytest.approx(1, abs=1e-5)
        assert answer.scores[0][1] == pytest.approx(float(row.max()), abs=1e-6)
    log.stop(10)


def test_how_long_an_answer_took_is_kept_unless_it_was_known(classifier, store):
    log = PredictionLog(store)
    log.start()
    for cached, seconds in ((False, 0.25), (True, None)):
        job, batch = computed(classifier, cached=cached)
        log.put(batch)
        kept = [store().get(answer.id) for answer in job.future.result(10)]
        assert [row.seconds for row in kept] == [seconds] * 2
    log.stop(10)


def test_batches_that_wait_share_one_commit(classifier, store):
    commits: list[int] = []
    log = PredictionLog(store, observe=lambda rows, _seconds: commits.append(rows))
    jobs = [computed(classifier) for _ in range(5)]
    for _, batch in jobs:
        log._queue.put((batch, False))
    log.start()
    for job, _ in jobs:
        assert len(job.future.result(10)) == 2
    assert commits == [10]
    log.stop(10)


def test_nothing_is_answered_that_is_not_logged(classifier, store):
    log = PredictionLog(store)
    log.start()
    with store().engine.begin() as connection:
        connection.execute(sql("ALTER TABLE predictions RENAME TO away"))
    job, batch = computed(classifier)
    log.put(batch)
    error = job.future.exception(10)
    assert isinstance(error, StoreUnavailable)
    assert not any(text in str(error) for text in TEXTS)
    with store().engine.begin() as connection:
        connection.execute(sql("ALTER TABLE away RENAME TO predictions"))
    job, batch = computed(classifier)
    log.put(batch)
    assert len(job.future.result(10)) == 2, "the log recovers when the store does"
    log.stop(10)


def test_a_store_that_cannot_be_opened_is_tried_again(tmp_path):
    blocker = tmp_path / "folder"
    blocker.write_text("a file where a folder should be")
    handle = StoreHandle(f"sqlite:///{blocker / 'predictions.db'}")
    with pytest.raises(PredictionStoreError):
        handle()
    blocker.unlink()
    blocker.mkdir()
    assert handle().count(0, time.time()) == 0
    handle.close()


def test_what_nobody_waits_for_is_not_logged(classifier, store):
    log = PredictionLog(store)
    abandoned, first = computed(classifier, request_id="abandoned")
    kept, second = computed(classifier, request_id="kept")
    abandoned.future.cancel()
    log._queue.put((first, False))
    log._queue.put((second, False))
    log.start()
    kept.future.result(10)
    assert {row.request_id for row in store().window(0, time.time() + 1)} == {"kept"}
    log.stop(10)


def test_without_a_store_answers_are_given_all_the_same(classifier, tmp_path: Path):
    log = PredictionLog(None)
    log.start()
    job, batch = computed(classifier)
    log.put(batch)
    assert len(job.future.result(10)) == 2
    log.stop(10)


def test_the_next_batch_can_be_handed_over_while_a_commit_waits(classifier, store):
    store()
    log = PredictionLog(store)
    log.start()
    blocker = store().engine.connect().execution_options(write=True)
    with blocker.begin():  # holds SQLite's write lock, so the commit waits
        jobs = [computed(classifier) for _ in range(3)]
        handed_over = threading.Event()

        def hand_over() -> None:
            for _, batch in jobs:
                log.put(batch)
            handed_over.set()

        threading.Thread(target=hand_over, daemon=True).start()
        assert handed_over.wait(10)
        assert not any(job.future.done() for job, _ in jobs)
    blocker.close()
    for job, _ in jobs:
        assert np.isclose(job.future.result(20)[0].scores[0][1], jobs[0][0].future.result()[0].scores[0][1])
    log.stop(10)
