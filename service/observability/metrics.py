"""Prometheus metrics: requests under BentoML's names, everything else under `champion_`.

BentoML's own request metrics are switched off: they use any requested path as a label value, so that any client can
fill the memory. These have the same names and labels, and only the known routes as values.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter as Counts
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, TypeVar, get_args

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

from service.inference.follower_state import ProblemReason
from service.inference.jobs import ClassifyResult, ServedModel
from service.inference.prediction_sink import SinkState
from stores.sources import API, LOAD, UI

Series = TypeVar("Series", Counter, Histogram)
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_POWERS = tuple(float(2**power) for power in range(13))
_REQUEST_LABELS = ("endpoint", "service_name", "service_version", "http_response_code", "runner_name")


class Metrics:
    """Every metric of one process, in a separate registry.

    Args:
        service_name: label of the request metrics.
        service_version: label of the request metrics.
        sources: sources of requests that are counted under their own names, beside those of `stores.sources`.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(
        self, service_name: str = "champion", service_version: str = "", sources: Collection[str] = ()
    ) -> None:
        self.registry = registry = CollectorRegistry()
        for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
            registry.register(collector)
        self.collect: Callable[[], Awaitable[bytes]] = self._collect
        """All metrics in Prometheus' text format; a worker process replaces it by those of all workers."""
        self._service = (service_name, service_version)
        self._series: dict[tuple[Counter | Histogram, tuple[str, ...]], Any] = {}
        self._sources = frozenset({API, UI, LOAD, *sources})
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
        self._texts_of_source = Counter(
            "champion_source_texts_total",
            "Texts answered, by the source of the request; sources that this service does not know are `other`.",
            ("source",),
            registry=registry,
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
        self._store_up = Gauge(
            "champion_store_up", "1 while the prediction store takes predictions.", registry=registry
        )
        self._spool_rows = Gauge(
            "champion_spool_rows", "Predictions that wait in the spool for the store.", registry=registry
        )
        self._spool_bytes = Gauge("champion_spool_bytes", "What the spool takes.", registry=registry)
        self._spool_age = Gauge(
            "champion_spool_oldest_seconds",
            "Age of the oldest prediction in the spool; 0 when it is empty.",
            registry=registry,
        )
        self._spool_damaged = Gauge(
            "champion_spool_damaged_rows",
            "Spooled predictions that could not be read or that the store refuses; kept in files beside the spool.",
            registry=registry,
        )
        self._replayed = Counter(
            "champion_spool_replayed_total", "Spooled predictions committed to the store.", registry=registry
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
        self._of_stage = Counter(
            "champion_cascade_texts_total",
            "Texts answered by a cascade, by the stage that answered.",
            ("version", "stage"),
            registry=registry,
        )
        self._early = Counter(
            "champion_cascade_early_texts_total",
            "Texts that a stage of a cascade before the last one answered.",
            ("version",),
            registry=registry,
        )
        self.relaxed = Counter(
            "champion_cascade_relaxed_texts_total",
            "Texts that the first stage of a cascade answered only because of CASCADE_OVERLOAD_LOSS.",
            registry=registry,
        )
        self._audited = Counter(
            "champion_cascade_audited_total",
            "Early answers of a cascade whose text went through all stages, by whether the label was the same.",
            ("version", "agreed"),
            registry=registry,
        )
        self.audits_dropped = Counter(
            "champion_cascade_audit_dropped_total",
            "Early answers that should have been audited, had there been time.",
            registry=registry,
        )
        self.inflight_bytes = Gauge(
            "champion_inflight_bytes",
            "Bytes of the bodies of requests that are being answered, as MAX_INFLIGHT_BYTES bounds them.",
            registry=registry,
        )
        self.failed_keys = Counter(
            "champion_failed_keys_total", "Requests with a key that is not accepted.", registry=registry
        )
        self.keys = Gauge("champion_keys", "API keys in force.", registry=registry)
        self.keys_problem = Gauge(
            "champion_keys_problem",
            "1 while API_KEYS_FILE cannot be read or is wrong, so that the keys before it stay in force.",
            registry=registry,
        )
        self._labels_refused = Gauge(
            "champion_label_change_refused",
            "1 while the followed version is not served because its labels are not those that are served.",
            registry=registry,
        )
        self._follow_problem = Gauge(
            "champion_follow_problem",
            "1 while the followed version is not served, or the registry does not say which it is, by the kind of why.",
            ("reason",),
            registry=registry,
        )
        self.follow_problem(None)
        self._swap_failures = Counter(
            "champion_follow_failures_total",
            "Looks at the registry, or swaps, that failed.",
            registry=registry,
        )

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count one answered request; `route` is one of the known routes, not what the client asked for."""
        labels = (route, *self._service, str(status), self._service[0])
        self._of(self._requests, *labels).inc()
        self._of(self._seconds, *labels).observe(seconds)

    def _of(self, metric: Series, *labels: str) -> Series:
        """The series of a counter or histogram with these labels; `labels` takes as long as counting."""
        key = (metric, labels)
        series: Series | None = self._series.get(key)
        if series is None:
            series = self._series[key] = metric.labels(*labels)
        return series

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

    def replayed(self, rows: int) -> None:
        """Count rows of the spool that were committed."""
        self._replayed.inc(rows)

    def follow_store(self, state: Callable[[], SinkState]) -> None:
        """Read the gauges of the prediction store from `state` at each scrape."""
        self._store_up.set_function(lambda: float(state().available))
        self._spool_rows.set_function(lambda: float(state().spooled_rows))
        self._spool_bytes.set_function(lambda: float(state().spooled_bytes))
        self._spool_age.set_function(lambda: _age(state().oldest_spooled))
        self._spool_damaged.set_function(lambda: float(state().damaged))

    def answered(self, result: ClassifyResult, source: str) -> None:
        """Count a request's texts and the time of its stages; `source`: where the request came from."""
        # Clients choose the names: unknown ones share a series, or any client could fill the memory.
        known = source if source in self._sources else "other"
        self._of(self._texts_of_source, known).inc(len(result.answers))
        for answer in result.answers:
            self._of(self._texts, result.model.version, answer.scores[0][0]).inc()
        if names := result.model.classifier.stages:
            self._answered_by_stages(result, names)
        for stage, seconds in result.stages.as_dict().items():
            self._of(self._stage_seconds, stage).observe(seconds)

    def _answered_by_stages(self, result: ClassifyResult, names: Sequence[str]) -> None:
        version, counts = result.model.version, Counts(answer.stage or names[0] for answer in result.answers)
        for stage, texts in counts.items():
            self._of(self._of_stage, version, stage).inc(texts)
        self._of(self._early, version).inc(len(result.answers) - counts[names[-1]])

    def audited(self, model: ServedModel, texts: int, agreed: int) -> None:
        """Count early answers that went through all stages of a cascade."""
        self._audited.labels(model.version, "true").inc(agreed)
        self._audited.labels(model.version, "false").inc(texts - agreed)

    def cache_hits(self, texts: int) -> None:
        """Count texts that were answered from the cache."""
        self._cache_hits.inc(texts)

    def swapped(self, model: ServedModel) -> None:
        """Set the model that answers."""
        self._model.clear()
        self._model.labels(model.name, model.version, model.alias or "").set(1)
        self._loaded.set(model.loaded_at)
        self._swaps.inc()

    def challenger_swapped(self, model: ServedModel) -> None:
        """Set the loaded challenger."""
        self._challenger.clear()
        self._challenger.labels(model.name, model.version).set(1)

    def shadowed(self, champion: Sequence[str], challenger: Sequence[str]) -> None:
        """Count texts that both models classified."""
        for given, other in zip(champion, challenger, strict=True):
            self._shadowed.labels(given, str(given == other).lower()).inc()

    def follow_failed(self) -> None:
        """Count a failed poll of the registry, or a failed swap."""
        self._swap_failures.inc()

    def labels_refused(self, refused: bool) -> None:
        """Set whether the followed version is refused for its labels."""
        self._labels_refused.set(refused)

    def follow_problem(self, reason: ProblemReason | None) -> None:
        """Set why the followed version is not served; None: it is."""
        for known in get_args(ProblemReason):
            self._follow_problem.labels(known).set(known == reason)

    def render(self) -> bytes:
        """The metrics of this process in Prometheus' text format."""
        return generate_latest(self.registry)

    async def _collect(self) -> bytes:
        return await asyncio.to_thread(self.render)


def _age(moment: float | None) -> float:
    return 0.0 if moment is None else max(0.0, time.time() - moment)
