"""Metrics of several worker processes as those of one service.

Counters and histograms are added, those of ended workers included, so that they never fall. Gauges of amounts are
added over the living workers; of states, the worst or the newest counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

Family = dict[str, Any]
"""`name`, `help`, `type`, and `samples`: lists of sample name, labels and value."""

_ADDED = frozenset({"counter", "histogram", "summary"})
_GAUGES: dict[str, Callable[[float, float], float]] = {
    "champion_store_up": min,
    "champion_spool_oldest_seconds": max,
    "champion_model_info": max,
    "champion_model_loaded_timestamp_seconds": max,
    "champion_challenger_info": max,
    "champion_keys": max,
    "champion_keys_problem": max,
    "champion_label_change_refused": max,
    "champion_follow_problem": max,
    "process_start_time_seconds": min,
    "process_max_fds": min,
    "python_info": max,
}
"""How a gauge's values are joined; others are added."""


def families_of(registry: CollectorRegistry) -> list[Family]:
    """Every metric of a registry, as JSON has it."""
    return [
        {
            "name": metric.name,
            "help": metric.documentation,
            "type": metric.type,
            "samples": [[sample.name, sample.labels, sample.value] for sample in metric.samples],
        }
        for metric in registry.collect()
    ]


_Labels = tuple[tuple[str, str], ...]


class MetricsSum:
    """Sums metrics over workers."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}
        self._values: dict[str, dict[tuple[str, _Labels], float]] = {}

    def add(self, families: Iterable[Family], *, ended: bool = False) -> None:
        """Add the metrics of one worker; of one that has ended, no gauges."""
        for family in families:
            name, kind = family["name"], family["type"]
            if ended and kind not in _ADDED:
                continue
            self._families.setdefault(name, family)
            values = self._values.setdefault(name, {})
            gauge = _GAUGES.get(name)
            for sample, labels, value in family["samples"]:
                key = (sample, tuple(sorted(labels.items())))
                before = values.get(key)
                if before is None:
                    values[key] = value
                elif sample.endswith("_created"):
                    values[key] = min(before, value)
                elif kind in _ADDED or gauge is None:
                    values[key] = before + value
                else:
                    values[key] = gauge(before, value)

    def families(self) -> list[Family]:
        """The sums."""
        return [
            {
                **family,
                "samples": [
                    [sample, dict(labels), value] for (sample, labels), value in self._values[name].items()
                ],
            }
            for name, family in self._families.items()
        ]


def gauge_family(name: str, documentation: str, value: float, *, kind: str = "gauge") -> Family:
    """A metric with one sample without labels; `kind`: `gauge` or `counter`."""
    sample = f"{name}_total" if kind == "counter" else name
    return {"name": name, "help": documentation, "type": kind, "samples": [[sample, {}, value]]}


def exposition(families: Sequence[Family]) -> bytes:
    """Metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Collected(families))
    return generate_latest(registry)


class _Collected(Collector):
    def __init__(self, families: Sequence[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Any]:
        from prometheus_client.metrics_core import Metric

        for family in self._families:
            metric = Metric(family["name"], family["help"], family["type"])
            metric.samples = [Sample(name, labels, value) for name, labels, value in family["samples"]]
            yield metric
