"""Sources of predictions and of labels: which count, on SQLite and on PostgreSQL."""

from __future__ import annotations

import pytest
from alembic import command
from pydantic import ValidationError
from sqlalchemy import text

from stores.predictions import PredictionStore
from stores.predictions.connections import alembic_config
from stores.predictions.labelled import count_labelled_texts, labelled_texts
from stores.predictions.queue import Batch, Chosen, LabelQueue
from stores.predictions.traffic import SourceCount, count_by_source, latencies
from stores.settings import TrafficSettings
from stores.sources import is_source, parse_sources
from tests.support.predictions import prediction

ALWAYS = (0.0, 1e12)
MODEL = {"model_name": "news", "model_version": "1"}


def test_a_label_counts_by_its_own_source(store: PredictionStore) -> None:
    row = prediction("a")  # the model says business
    store.add([row])

    def in_force(*sources: str) -> str | None:
        return store.window(*ALWAYS, sources=[*sources, "api"])[0].true_label

    store.add_feedback({row.id: "tech"}, source="api")
    store.add_feedback({row.id: "business"}, source="load")
    assert in_force() == "tech"  # the load test does not overrule the client
    assert in_force("load") == "business"
    assert store.outcomes(*ALWAYS)[0].true_label == "tech"
    store.add_feedback({row.id: "sports"}, source="file")
    assert in_force() == "sports"  # a person gave it by a command
    store.add_feedback({row.id: "politics"}, source="queue")
    assert in_force() == "politics"
    read = store.get(row.id)
    assert read is not None
    assert read.true_label == "politics"


def test_a_label_given_by_another_source_is_still_written(store: PredictionStore) -> None:
    row = prediction("a")
    store.add([row])
    store.add_feedback({row.id: "tech"}, source="load", at=1.0)
    store.add_feedback({row.id: "tech"}, source="api", at=2.0)
    store.add_feedback({row.id: "tech"}, source="api", at=3.0)  # sent again: not written
    assert store.feedback_history(row.id) == [("tech", 1.0), ("tech", 2.0)]
    assert store.window(*ALWAYS)[0].true_label == "tech"


def test_every_reader_looks_at_traffic_only(store: PredictionStore) -> None:
    rows = [
        prediction("a", created_at=10.0, seconds=0.1),
        prediction("b", created_at=10.0, seconds=5.0, source="load"),
        prediction("c", created_at=10.0, seconds=5.0, source="ui"),
    ]
    store.add(rows)
    for row in rows:
        store.add_feedback({row.id: "tech"}, source=row.source)

    assert [row.text for row in store.sample(*ALWAYS, size=10)] == ["a"]
    assert store.count_readable(*ALWAYS, **MODEL) == 1
    assert sum(outcome.count for outcome in store.outcomes(*ALWAYS)) == 1
    assert latencies(store, *ALWAYS, size=10, **MODEL) == [(10.0, 0.1)]
    assert [row.text for row in labelled_texts(store, *ALWAYS, model_name="news", per_label=10)] == ["a"]
    assert count_labelled_texts(store, *ALWAYS, model_name="news") == 1
    both = {"model_name": "news", "sources": ("api", "ui")}
    assert {row.text for row in labelled_texts(store, *ALWAYS, per_label=10, **both)} == {"a", "c"}
    assert count_labelled_texts(store, *ALWAYS, **both) == 2


def test_the_label_queue_counts_labels_of_traffic(store: PredictionStore) -> None:
    row = prediction("a", created_at=10.0)
    store.add([row])
    queue, batch = LabelQueue(store), Batch("news", "1", 0.0, 100.0, predictions=1)
    queue.add(batch, [Chosen(row.id, 0.5, "random")])
    store.add_feedback({row.id: "tech"}, source="load")
    assert [found.labelled for found in queue.progress(*ALWAYS, **MODEL)] == [0]
    assert queue.outcomes([batch.id], *ALWAYS) == []
    store.add_feedback({row.id: "sports"}, source="queue")
    assert [found.labelled for found in queue.progress(*ALWAYS, **MODEL)] == [1]
    assert [found.true_label for found in queue.outcomes([batch.id], *ALWAYS)] == ["sports"]


def test_what_other_sources_have(store: PredictionStore) -> None:
    right, wrong = prediction("b", source="ui"), prediction("c", source="ui")
    store.add([prediction("a"), right, wrong, prediction("d", source="load")])
    store.add(
        [prediction("e", source="load", model_version="2"), prediction("f", source="x", created_at=1.0)]
    )
    store.add_feedback({right.id: "business", wrong.id: "tech"}, source="ui")
    assert count_by_source(store, 2.0, 1e12, leave_out=("api",), **MODEL) == [
        SourceCount("load", predictions=1, labelled=0, correct=0),
        SourceCount("ui", predictions=2, labelled=2, correct=1),
    ]


def test_rows_of_an_older_release_become_traffic(store: PredictionStore, url: str) -> None:
    row = prediction("a")
    store.add([row])
    store.add_feedback({row.id: "tech"}, source="file")
    with store.engine.connect().execution_options(write=True) as connection, connection.begin():
        command.downgrade(alembic_config(connection), "0004")
        assert connection.execute(text("SELECT source FROM predictions")).scalar_one() == "live"
        assert connection.execute(text("SELECT source FROM feedback")).scalar_one() == "csv"
    again = PredictionStore.open(url)
    found = again.window(*ALWAYS)
    again.close()
    assert [(item.source, item.true_label) for item in found] == [("api", "tech")]


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("api", True),
        ("mobile-app_2.1", True),
        ("7", True),
        ("a" * 32, True),
        ("a" * 33, False),
        ("", False),
        ("API", False),
        ("-a", False),
        ("a b", False),
        ("é", False),
        ("a\n", False),
    ],
)
def test_names_of_sources(name: str, good: bool) -> None:
    assert is_source(name) == good


def test_sources_are_listed_in_a_setting() -> None:
    assert TrafficSettings(traffic_sources="api, web").sources == ("api", "web")
    assert parse_sources("web web,api") == ("web", "api")
    for wrong in ("", " , ", "api,API"):
        with pytest.raises(ValidationError, match="source"):
            TrafficSettings(traffic_sources=wrong)
