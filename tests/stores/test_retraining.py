"""Which live texts have labels, and that of two who want to retrain at once one does; on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from stores.predictions import PredictionStore
from stores.predictions.checks import INTERRUPTED, LOST_AFTER, Check, CheckLog
from stores.predictions.labelled import count_labelled_texts, labelled_texts
from stores.predictions.queue import Batch, Chosen, LabelQueue
from tests.support.predictions import prediction

CHECK = Check(
    checked_at=10, since=0, until=10, model_name="news", model_version="1", status="breach", summary="", report="",
    signals={}, accuracy=None, labelled=0,
)  # fmt: skip


def test_of_several_processes_one_retrains(url: str) -> None:
    stores = [PredictionStore.open(url) for _ in range(4)]
    logs = [CheckLog(store) for store in stores]
    ids = [log.add(replace(CHECK, checked_at=number)) for number, log in enumerate(logs)]

    def begin(number: int) -> bool:
        return logs[number].begin_retraining(ids[number], "news", cooldown=60, now=1000.0 + number / 10)

    with ThreadPoolExecutor(4) as pool:
        began = list(pool.map(begin, range(4)))
    assert sorted(began) == [False, False, False, True]
    (last,) = logs[0].retrainings("news")
    assert last.id == ids[began.index(True)]
    assert last.retrain_status is None
    assert logs[0].retrainings("other") == []
    for store in stores:
        store.close()


def test_an_unfinished_retraining_blocks_for_a_limited_time(url: str) -> None:
    store = PredictionStore.open(url)
    log = CheckLog(store)
    first, second = log.add(CHECK), log.add(CHECK)
    assert log.begin_retraining(first, "news", cooldown=1, now=0.0)
    assert not log.begin_retraining(second, "news", cooldown=1, now=LOST_AFTER - 1), "it may still run"
    assert log.begin_retraining(second, "news", cooldown=1, now=LOST_AFTER + 1), "it was killed"
    log.end_retraining(second, 0)
    log.end_retraining(first, 0)
    assert log.begin_retraining(first, "news", cooldown=1, now=LOST_AFTER + 3)
    store.close()


def test_a_retraining_that_was_interrupted_blocks_none(url: str) -> None:
    store = PredictionStore.open(url)
    log = CheckLog(store)
    first, second = log.add(CHECK), log.add(CHECK)
    assert log.begin_retraining(first, "news", cooldown=60, now=0.0)
    log.end_retraining(first, INTERRUPTED)
    assert log.begin_retraining(second, "news", cooldown=60, now=1.0)
    store.close()


def test_a_retraining_dated_far_ahead_does_not_block(
    url: str,
) -> None:
    store = PredictionStore.open(url)
    log = CheckLog(store)
    first, second = log.add(CHECK), log.add(CHECK)
    year = 365 * 86400.0
    assert log.begin_retraining(first, "news", cooldown=60, now=year)
    log.end_retraining(first, 0)
    assert not log.begin_retraining(second, "news", cooldown=60, now=year - 59), (
        "a clock may be a little behind"
    )
    assert log.begin_retraining(second, "news", cooldown=60, now=year - 61)
    assert [check.id for check in log.retrainings("news")] == [second, first], (
        "the newest, not the latest date"
    )
    assert not log.begin_retraining(first, "news", cooldown=60, now=year - 61 - LOST_AFTER / 2), "it may run"
    store.close()


def test_labelled_texts_are_the_newest_of_each_current_label(url: str) -> None:
    store = PredictionStore.open(url)
    rows = [prediction(f"text {n}", created_at=float(n)) for n in range(10)]
    rows += [
        prediction("text 9", created_at=9.5),
        prediction("another model's", created_at=5.0, model_name="other"),
        prediction("a rehearsal", created_at=5.0, source="demo"),
        prediction("without a label", created_at=5.0),
    ]
    store.add(rows)
    store.add_feedback({row.id: "tech" for row in rows[:-1]})
    store.add_feedback({row.id: "sport" for row in rows[:5]})

    found = labelled_texts(store, 1.0, 9.6, model_name="news", per_label=3)
    assert [(row.text, row.label) for row in found] == [
        ("text 9", "tech"), ("text 9", "tech"), ("text 8", "tech"),
        ("text 4", "sport"), ("text 3", "sport"), ("text 2", "sport"),
    ]  # fmt: skip
    assert {(row.weight, row.even_share) for row in found} == {(1.0, 1.0)}
    assert count_labelled_texts(store, 1.0, 9.6, model_name="news") == 9
    assert count_labelled_texts(store, 9.0, 9.1, model_name="news") == 1
    assert labelled_texts(store, 20.0, 30.0, model_name="news", per_label=3) == []
    store.close()


def test_a_labelled_text_has_its_sampling_probability(url: str) -> None:
    store = PredictionStore.open(url)
    rows = [prediction(f"text {n}", created_at=float(n)) for n in range(4)]
    store.add(rows)
    store.add_feedback({row.id: "tech" for row in rows})
    queue = LabelQueue(store)
    first, second = (Batch("news", "1", 0, 9, 100, id=name) for name in ("first", "second"))
    queue.add(first, [Chosen(rows[0].id, 0.1, "random"), Chosen(rows[1].id, 0.4, "uncertain")])
    queue.add(second, [Chosen(rows[1].id, 0.01, "random"), Chosen(rows[2].id, 0.02, "random")])
    found = labelled_texts(store, 0.0, 9.0, model_name="news", per_label=9)[::-1]
    assert [row.text for row in found] == ["text 0", "text 1", "text 2", "text 3"]
    assert [row.weight for row in found] == pytest.approx([1.0, 0.25, 0.5, 1.0])
    assert [row.even_share for row in found] == pytest.approx([0.625, 0.625, 0.75, 1.0])
    store.close()
