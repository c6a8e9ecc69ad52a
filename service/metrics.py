"""Prometheus metrics: the requests under BentoML's names, what is inside under `champion_`.

BentoML's own request metrics are switched off: they take every path that a client invents as a label value, so that
anybody can fill the memory. These have the same names and labels, and know the routes only.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from service.jobs import Classified, ServedModel

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_POWERS = tuple(float(2**power) for power in range(13))
_REQUEST_LABELS = ("endpoint", "service_name", "service_version", "http_response_code", "runner_name")


class Metrics:
    """Every metric of one process, in a registry of its own.

    Args:
        service_name: name and version of the service, as BentoML's labels have them.
        service_version: see `service_name`.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, service_name: str = "champion", service_version: str = "") -> None:
        self.registry = registry = CollectorRegistry()
        for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            registry.register(collector)
        self._service = (service_name, service_version)
        self._requests = Counter(
            "bentoml_service_request_total", "Requests answered.", _REQUEST_LABELS, registry=registry
        )
        self._seconds = Histogram(
            "bentoml_service_request_duration_seconds",
            "Time to answer a request.",
            _REQUEST_LABELS,
            buckets=_SECONDS,
            registry=registry,
        )
        self.in_progress = Gauge(
            "bentoml_service_request_in_progress",
            "Requests being answered now.",
            ("service_name", "service_version", "runner_name"),
            registry=registry,
        ).labels(*self._service, service_name)
        self._texts = Counter(
            "champion_texts_total", "Texts computed, by label.", ("version", "label"), registry=registry
        )
        self._batch_texts = Histogram(
            "champion_batch_texts", "Texts in a batch.", buckets=_POWERS, registry=registry
        )
        self._batch_seconds = Histogram(
            "champion_batch_infer_seconds", "Time to compute a batch.", buckets=_SECONDS, registry=registry
        )
        self._tokens = Counter("champion_tokens_total", "Tokens of the computed texts.", registry=registry)
        self._padding = Counter(
            "champion_padding_tokens_total", "Tokens computed only to make a batch square.", registry=registry
        )
        self._stage_seconds = Histogram(
            "champion_stage_seconds",
            "Where the time of an answered request went.",
            ("stage",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._cache_hits = Counter(
            "champion_cache_hits_total", "Texts answered without computing them.", registry=registry
        )
        self.cache_bytes = Gauge("champion_cache_bytes", "What the known answers take.", registry=registry)
        self._log_seconds = Histogram(
            "champion_log_commit_seconds", "Time to commit predictions.", buckets=_SECONDS, registry=registry
        )
        self._logged = Counter(
            "champion_logged_predictions_total", "Predictions committed.", registry=registry
        )
        self.queue_texts = Gauge("champion_queue_texts", "Texts that wait to be computed.", registry=registry)
        self.drain_rate = Gauge(
            "champion_drain_texts_per_second", "Texts a second while there is work.", registry=registry
        )
        self._model = Gauge(
            "champion_model_info",
            "1 for the model that answers.",
            ("model", "version", "alias"),
            registry=registry,
        )
        self._loaded = Gauge(
            "champion_model_loaded_timestamp_seconds", "When the model was loaded.", registry=registry
        )
        self._swaps = Counter("champion_model_swaps_total", "Models swapped in.", registry=registry)
        self._challenger = Gauge(
            "champion_challenger_info",
            "1 for the challenger that is loaded.",
            ("model", "version"),
            registry=registry,
        )
        self._shadowed = Counter(
            "champion_shadow_texts_total",
            "Texts that the challenger classified too, by the champion's label and whether it gave the same.",
            ("label", "agreed"),
            registry=registry,
        )
        self.shadow_dropped = Counter(
            "champion_shadow_dropped_total",
            "Texts that the challenger should have classified too, had there been time.",
            registry=registry,
        )
        self._swap_failures = Counter(
            "champion_follow_failures_total",
            "Looks at the registry, or swaps, that failed.",
            registry=registry,
        )

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request; `route` is one of the known routes, not what the client asked for."""
        labels = (route, *self._service, str(status), self._service[0])
        self._requests.labels(*labels).inc()
        self._seconds.labels(*labels).observe(seconds)

    def batch(self, texts: int, tokens: int, padded: int, seconds: float) -> None:
        """Count one computed batch."""
        self._batch_texts.observe(texts)
        self._batch_seconds.observe(seconds)
        self._tokens.inc(tokens)
        self._padding.inc(padded - tokens)

    def commit(self, rows: int, seconds: float) -> None:
        """Count one commit of predictions."""
        self._logged.inc(rows)
        self._log_seconds.observe(seconds)

    def answered(self, found: Classified) -> None:
        """Count a request's texts, and where its time went."""
        for answer in found.answers:
            self._texts.labels(found.model.version, answer.scores[0][0]).inc()
        for stage, seconds in found.stages.as_dict().items():
            self._stage_seconds.labels(stage).observe(seconds)

    def known(self, texts: int) -> None:
        """Count texts whose answers were known."""
        self._cache_hits.inc(texts)

    def swapped(self, model: ServedModel) -> None:
        """Note the model that answers from now on."""
        self._model.clear()
        self._model.labels(model.name, model.version, model.alias or "").set(1)
        self._loaded.set(model.loaded_at)
        self._swaps.inc()

    def challenger_swapped(self, model: ServedModel) -> None:
        """Note the challenger that is loaded from now on."""
        self._challenger.clear()
        self._challenger.labels(model.name, model.version).set(1)

    def shadowed(self, champion: Sequence[str], challenger: Sequence[str]) -> None:
        """Count texts that both models classified."""
        for given, other in zip(champion, challenger, strict=True):
            self._shadowed.labels(given, str(given == other).lower()).inc()

    def follow_failed(self) -> None:
        """Count a failed look at the registry, or a failed swap."""
        self._swap_failures.inc()

    def render(self) -> bytes:
        """All of it, in Prometheus' text format."""
        return generate_latest(self.registry)
