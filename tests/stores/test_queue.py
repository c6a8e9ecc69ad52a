"""The label queue, the same promises on SQLite and on PostgreSQL."""

import pytest

from stores.errors import PredictionStoreError
from stores.predictions import PredictionStore
from stores.predictions.queue import Batch, Chosen, LabelQueue, QueuedOutcome
from tests.support.predictions import prediction


def test_batches_their_progress_and_their_outcomes(store: PredictionStore) -> None:
    rows = [prediction("same" if at < 2 else f"text {at}", created_at=float(at)) for at in range(4)]
    store.add(rows)
    queue = LabelQueue(store)
    first = Batch("news", "1", 0.0, 3.0, 3, queued_at=10.0)
    second = Batch("news", "1", 2.0, 4.0, 2, queued_at=11.0)
    queue.add(first, [Chosen(row.id, 0.5, "random") for row in rows[:3]])
    queue.add(second, [Chosen(rows[2].id, 0.25, "uncertain")])
    queue.add(Batch("news", "2", 0.0, 4.0, 9), [Chosen(rows[3].id, 1.0, "new")])
    store.add_feedback({rows[0].id: "tech", rows[2].id: "tech"})
    store.add_feedback({rows[2].id: "business"})

    def progress(since: float, until: float) -> list[tuple[str, int, int]]:
        found = queue.progress(since, until, model_name="news", model_version="1")
        return [(item.batch.id, item.chosen, item.labelled) for item in found]

    assert progress(0, 10) == [(first.id, 3, 2), (second.id, 1, 1)]
    assert progress(3.5, 10) == [(second.id, 1, 1)]
    assert progress(4, 10) == []
    assert queue.progress(0, 9, model_name="news", model_version="1")[0].batch == first
    assert queue.outcomes([first.id, second.id], 1, 10) == [
        QueuedOutcome(first.id, 0.5, 2.0, "business", "business"),
        QueuedOutcome(second.id, 0.25, 2.0, "business", "business"),
    ], "the label in force, once for each batch"
    assert queue.outcomes([], 0, 10) == []
    assert queue.copies([rows[0].id, rows[3].id, "f" * 32]) == {
        rows[0].id: {rows[0].id, rows[1].id},
        rows[3].id: {rows[3].id},
    }


def test_a_batch_is_kept_whole_or_not_at_all(store: PredictionStore) -> None:
    row = prediction()
    store.add([row])
    queue = LabelQueue(store)
    with pytest.raises(PredictionStoreError):
        queue.add(
            Batch("news", "1", 0.0, 1e12, 1), [Chosen(row.id, 1.0, "new"), Chosen("f" * 32, 1.0, "new")]
        )
    assert queue.progress(0, 1e12, model_name="news", model_version="1") == []
