"""Metrics of several processes as those of one."""

from __future__ import annotations

import json

from prometheus_client.parser import text_string_to_metric_families

from service.observability.aggregation import MetricsSum, exposition, families_of, gauge_family
from service.observability.metrics import Metrics


def report(requests: int, *, rows: int = 0, problem: bool = False) -> list[dict]:
    """The metrics of a worker that answered this many requests, as they arrive at the parent."""
    metrics = Metrics("champion")
    for _ in range(requests):
        metrics.request("/classify", 200, 0.004)
    metrics.queue_texts.set_function(lambda: rows)
    metrics.keys.set_function(lambda: 3)
    metrics.keys_problem.set_function(lambda: problem)
    metrics.labels_refused(problem)
    return json.loads(json.dumps(families_of(metrics.registry)))


def values(families: list[dict]) -> dict[str, float]:
    """Sample → value, over its labels."""
    found: dict[str, float] = {}
    for metric in text_string_to_metric_families(exposition(families).decode()):
        for sample in metric.samples:
            key = f"{sample.name}{sample.labels.get('le', '')}"
            found[key] = found.get(key, 0.0) + sample.value
    return found


def test_counters_are_added_and_states_are_joined():
    total = MetricsSum()
    total.add(report(2, rows=5))
    total.add(report(3, rows=7, problem=True))
    found = values(total.families())
    assert found["bentoml_service_request_total"] == 5
    assert found["bentoml_service_request_duration_seconds_count"] == 5
    assert found["bentoml_service_request_duration_seconds_bucket0.0025"] == 0
    assert found["bentoml_service_request_duration_seconds_bucket0.005"] == 5
    assert found["champion_queue_texts"] == 12
    assert found["champion_keys"] == 3
    assert found["champion_keys_problem"] == found["champion_label_change_refused"] == 1
    assert found["process_resident_memory_bytes"] > 0


def test_an_ended_worker_keeps_its_counters_and_no_gauges():
    total = MetricsSum()
    total.add(report(4, rows=9), ended=True)
    again = MetricsSum()
    again.add(total.families(), ended=True)
    again.add(report(1, rows=2))
    found = values(again.families())
    assert found["bentoml_service_request_total"] == 5
    assert found["champion_queue_texts"] == 2


def test_a_single_worker_has_its_own_figures():
    families = report(3, rows=1)
    total = MetricsSum()
    total.add(families)
    assert values(total.families()) == values(families)


def test_a_figure_of_the_parent_has_prometheus_names():
    found = values(
        [gauge_family("champion_workers", "Workers.", 2), gauge_family("restarts", "R.", 3, kind="counter")]
    )
    assert (found["champion_workers"], found["restarts_total"]) == (2, 3)
