"""The service without HTTP: classifies texts and logs the predictions, and stores feedback."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypedDict

import numpy as np

from classifier import Encoded, PredictionFailed
from service.api_keys import KeyRing
from service.errors import (
    InvalidContent,
    NoModel,
    PredictionBroken,
    ShuttingDown,
)
from service.inference.audit import CascadeAudit, CascadeCounts
from service.inference.batcher import Batcher, IdleTasks
from service.inference.bundle_check import CheckLimits
from service.inference.cache import AnswerCache
from service.inference.challenger import Agreement, AgreementCounter, Shadow, challenger_follower, in_canary
from service.inference.deadline import Disconnected, awaited
from service.inference.encoding import Encoder, refuse_too_long
from service.inference.jobs import ClassifyResult, ComputedBatch, Job, ServedModel, Stages
from service.inference.model_follower import ChampionFollower
from service.inference.prediction_log import PredictionLog
from service.inference.prediction_sink import PredictionSink, StoreHandle
from service.inference.prediction_updates import PredictionUpdates
from service.observability.metrics import Metrics
from service.observability.tracing import Tracing
from service.requests import ClassifyRequest, FeedbackRequest
from service.settings import ServiceSettings
from stores.predictions import FeedbackResult
from stores.random_hex import random_hex
from stores.settings import PredictionSettings, SigningSettings, TrackingSettings, private_umask
from stores.sources import API


class JobFacts(TypedDict):
    """What is stored with a request's predictions."""

    request_id: str | None
    source: str
    key_name: str | None


_LOOKED_UP = 100_000
"""Characters of a request that are looked up in the cache on the event loop: 0.2 ms."""
_STOP_SECONDS = 30.0
_LOAD_SECONDS = 2.0
"""At the end, a running load of a model is not awaited any longer."""


class Engine:
    """Everything between HTTP and the stores.

    A text is tokenised off the event loop, queued, computed in a batch, committed to the prediction store, and then
    answered. Each stage has separate threads, so the stages overlap.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        tracking: TrackingSettings,
        predictions: PredictionSettings,
        signing: SigningSettings,
        metrics: Metrics | None = None,
    ) -> None:
        self.settings = settings
        self.metrics = metrics or Metrics(sources=settings.sources)
        self._traffic = frozenset(settings.sources)
        self.keys = KeyRing(
            settings.keys,
            settings.api_keys_file,
            requests_per_minute=settings.key_requests_per_minute,
            texts_per_minute=settings.key_texts_per_minute,
            failed=self.metrics.failed_keys.inc,
        )
        self._store = StoreHandle(predictions)
        self.sink = (
            PredictionSink(predictions, self._store, replayed=self.metrics.replayed)
            if settings.log_predictions
            else None
        )
        sink = self.sink
        self._log = PredictionLog(None if sink is None else lambda: sink, observe=self.metrics.commit)
        self._cache = AnswerCache(settings.cache_bytes, observe=self.metrics.cache_hits)
        self._agreement = AgreementCounter()
        self._shadow = Shadow(
            settings.shadow_rate,
            self._agreement,
            observe=self.metrics.shadowed,
            dropped=self.metrics.shadow_dropped.inc,
        )
        self._updates = PredictionUpdates(
            self._store,
            sink,
            max_items=settings.max_texts,
            labels=self._labels,
            on_erased=self._erased,
        )
        self._audit = CascadeAudit(
            settings.cascade_audit_rate,
            keep=self._updates.keep_audits,
            observe=self.metrics.audited,
            dropped=self.metrics.audits_dropped.inc,
        )
        self._batcher = Batcher(
            self._log.put,
            batch_tokens=settings.batch_tokens,
            capacity=settings.queue_texts,
            workers=settings.cores,
            stall_seconds=settings.stall_seconds,
            cache=self._cache,
            idle_task=IdleTasks(self._shadow, self._audit),
            observe=self.metrics.batch,
        )
        self.champion = ChampionFollower(
            tracking,
            signing,
            poll_seconds=settings.poll_seconds,
            threads=settings.cores,
            precision=settings.precision,
            device=settings.device,
            batch_tokens=settings.batch_tokens,
            allow_label_change=settings.allow_label_change,
            on_swap=self.metrics.swapped,
            on_failure=self.metrics.follow_failed,
            on_labels=self.metrics.labels_refused,
            limits=CheckLimits.of(settings),
            on_problem=self.metrics.follow_problem,
        )
        self._challenger = challenger_follower(settings, tracking, signing, self.metrics.challenger_swapped)
        endpoint = settings.otel_exporter_otlp_endpoint
        self.tracing = Tracing(endpoint) if endpoint else None
        self._encoder = Encoder()
        self.draining = False
        """True while the process stops: new work is refused, accepted work is finished."""
        self.others_ready = True
        """Whether the other worker processes that take connections would answer."""
        self.on_erased: Callable[[], None] = lambda: None
        """Called when a prediction was erased, from any thread; other workers then clear their caches."""
        self.metrics.queue_texts.set_function(lambda: self._batcher.queued)
        self.metrics.cache_bytes.set_function(lambda: self._cache.bytes)
        self.metrics.drain_rate.set_function(lambda: self._batcher.rate)
        self.metrics.keys.set_function(lambda: len(self.keys))
        self.metrics.keys_problem.set_function(lambda: self.keys.problem is not None)
        if sink is not None:
            self.metrics.follow_store(sink.state)

    def start(self) -> None:
        """Start every thread; the champion is loaded in the background."""
        private_umask()
        self.keys.start()
        if self.sink is not None:
            self.sink.start()
        self._log.start()
        self._batcher.start()
        self.champion.start()
        if self._challenger is not None:
            self._challenger.start()

    def stop(self) -> None:
        """Finish accepted work, and stop every thread."""
        self.draining = True
        self._encoder.stop()
        self._batcher.stop(_STOP_SECONDS)
        self._log.stop(_STOP_SECONDS)
        if self.sink is not None:
            self.sink.stop(_LOAD_SECONDS)
        self._updates.stop()
        self.champion.stop(_LOAD_SECONDS)
        if self._challenger is not None:
            self._challenger.stop(_LOAD_SECONDS)
        self.keys.stop()
        self._store.close()
        if self.tracing is not None:
            self.tracing.stop()

    @property
    def alive(self) -> bool:
        """Whether every thread that an answer needs is alive and not stalled."""
        return self._batcher.alive and self._log.alive and self.champion.alive

    @property
    def ready(self) -> bool:
        """Whether a request would be answered now."""
        keeps = self.sink is None or self.sink.ready
        return self.alive and not self.draining and self.champion.served is not None and keeps

    def model(self) -> ServedModel:
        """The champion in use.

        Raises:
            NoModel: none is loaded; the message says why and what to do.
        """
        if self.champion.served is not None:
            return self.champion.served
        state = self.champion.state
        reason = state.advice or f"{state.source} is still being loaded"
        raise NoModel(f"no model is loaded yet: {reason}", retry_after=max(1.0, self.settings.poll_seconds))

    @property
    def challenger(self) -> ServedModel | None:
        """The loaded challenger; None: there is none."""
        found = self._challenger.served if self._challenger is not None else None
        champion = self.champion.served
        # After a promotion both followers may have the same model until their next poll.
        return None if found is None or champion is None or found.model_id == champion.model_id else found

    def refuse_lists_when_full(self) -> None:
        """Refuse a list of texts that has not been parsed, if the queue is almost full.

        A cascade answers most texts without the queue, so its lists are refused by what they hold.

        Raises:
            QueueFull: as `Batcher.reserve`.
        """
        served = self.champion.served
        if served is not None and not served.classifier.stages:
            self._batcher.refuse_when_almost_full()

    def agreement(self, challenger: ServedModel) -> Agreement:
        """How often `challenger` gave the same label as the champion."""
        return self._agreement.of((self.model().model_id, challenger.model_id))

    def cascade_counts(self, model: ServedModel) -> CascadeCounts:
        """What the stages of `model` answered since the process began, and how often audits agreed."""
        return self._audit.counts(model)

    async def classify(
        self,
        request: ClassifyRequest,
        *,
        deadline: float,
        request_id: str | None = None,
        source: str = API,
        key_name: str | None = None,
        sticky_key: str | None = None,
        disconnected: Disconnected | None = None,
    ) -> ClassifyResult:
        """Classify the request's texts; every prediction is logged.

        Args:
            request: texts and options.
            deadline: `time.monotonic()` after which the answer is of no use.
            request_id: stored with the predictions.
            source: where the request came from; stored with the predictions. The challenger is compared on texts of
                TRAFFIC_SOURCES only.
            key_name: name of the request's key; stored with the predictions.
            sticky_key: with CANARY_SHARE, requests of the same key are answered by the same model.
            disconnected: reports when the client has disconnected.

        Raises:
            NoModel, QueueFull, ShuttingDown, WorkerDead, StoreUnavailable, InvalidContent, PredictionBroken,
            DeadlinePassed, ClientDisconnected.
        """
        self._refuse_when_draining()
        model, texts = self._model_for(sticky_key), request.texts
        if len(texts) > self.settings.max_texts:
            raise InvalidContent(
                f"text has {len(texts)} texts, and at most {self.settings.max_texts} are taken at a time",
                code="too_many_texts",
                field="text",
            )
        started = time.monotonic()
        facts: JobFacts = {"request_id": request_id, "source": source, "key_name": key_name}
        # Long texts are looked up by the worker thread, which reads the cache again.
        short = sum(map(len, texts)) <= _LOOKED_UP
        job = self._from_cache(model, request, deadline, facts) if short else None
        relaxed = 0
        if job is None and model.classifier.stages:
            encoded = await self._encoder.encode(model, request, deadline, disconnected)
            encoded, relaxed = self._relaxed(model, encoded)
            job = Job(model, encoded, deadline=deadline, began=started, **facts)
            self._submit_staged(job)
        elif job is None:
            self._batcher.reserve(len(texts))
            try:
                encoded = await self._encoder.encode(model, request, deadline, disconnected)
            except BaseException:
                self._batcher.release(len(texts))
                raise
            job = Job(model, encoded, deadline=deadline, began=started, **facts)
            self._batcher.submit(job)
        try:
            answers = await awaited(job.future, job.deadline, disconnected)
        except PredictionBroken as error:
            if isinstance(request.text, str):
                error.field = "text"
            raise
        found = ClassifyResult(model, answers, Stages.of(job, tokenise=job.submitted - started))
        self.metrics.answered(found, source)
        self._audit.count(model, answers)
        # Audits show what the bundle's thresholds are worth, not those for overload.
        if source in self._traffic and not relaxed and self._audit.offer(model, texts, answers):
            self._batcher.wake()
        if (
            source in self._traffic
            and model is self.champion.served
            and self._shadow.offer(model, self.challenger, texts, answers)
        ):
            self._batcher.wake()
        return found

    async def feedback(
        self,
        request: FeedbackRequest,
        *,
        deadline: float,
        source: str = API,
        key_name: str | None = None,
        of_key: str | None = None,
    ) -> FeedbackResult:
        """Store true labels, as `PredictionUpdates.feedback`; raises ShuttingDown, too."""
        self._refuse_when_draining()
        return await self._updates.feedback(
            request, deadline=deadline, source=source, key_name=key_name, of_key=of_key
        )

    async def erase(self, prediction_id: str, *, of_key: str | None, deadline: float) -> None:
        """Erase a prediction, as `PredictionUpdates.erase`, and clear the cache; raises ShuttingDown, too."""
        self._refuse_when_draining()
        await self._updates.erase(prediction_id, of_key=of_key, deadline=deadline)

    def forget_answers(self) -> None:
        """Clear the cache."""
        self._cache.clear()

    # -- inside ---------------------------------------------------------------------------------------------------

    def _model_for(self, sticky_key: str | None) -> ServedModel:
        """The champion, or for CANARY_SHARE of the keys the challenger."""
        champion, challenger = self.model(), self.challenger
        if (
            challenger is not None
            and set(challenger.classifier.labels) == set(champion.classifier.labels)
            and in_canary(sticky_key or random_hex(), challenger.model_id, self.settings.canary_share)
        ):
            return challenger
        return champion

    def _relaxed(self, model: ServedModel, encoded: list[Encoded]) -> tuple[list[Encoded], int]:
        """The texts of a cascade, and how many of them its first stage answers because the queue is half full."""
        limit = self.settings.cascade_overload_loss
        if not limit or not self._batcher.more_than_half_full:
            return encoded, 0
        relaxed = model.classifier.relaxed(encoded, limit)
        more = sum(item.answered for item in relaxed) - sum(item.answered for item in encoded)
        self.metrics.relaxed.inc(more)
        return relaxed, more

    def _from_cache(
        self,
        model: ServedModel,
        request: ClassifyRequest,
        deadline: float,
        facts: JobFacts,
    ) -> Job | None:
        """A job with cached answers, queued for the log; None: some text must be computed."""
        known = self._cache.get_all(model.model_id, request.texts)
        if known is None:
            return None
        encoded = [
            Encoded(text, (), item.tokens, item.truncated)
            for text, item in zip(request.texts, known, strict=True)
        ]
        refuse_too_long(encoded, request, model)
        job = Job(model, encoded, deadline=deadline, **facts)
        rows = (
            np.stack([item.probabilities for item in known])
            if len(known) > 1
            else known[0].probabilities[None]
        )
        stages = np.array([item.stage for item in known])
        batch = ComputedBatch(
            model, job.items, rows, job.submitted, job.submitted, cached=True, stages=stages
        )
        return job if self._log.offer(batch) else None

    def _submit_staged(self, job: Job) -> None:
        """Queue the texts that no early stage answered for the batcher, and the others for the log.

        Encoding a cascade's texts is most of what its early answers cost, so they are encoded before room is reserved:
        a full queue refuses only requests with texts that need it.
        """
        early = _early_batch(job)
        rest = [item for item in job.items if early is None or not item.encoded.answered]
        if rest:
            self._batcher.reserve(len(rest))
        if early is not None and not self._log.offer(early):
            # The log is behind: the batcher's threads wait for it, the event loop may not.
            try:
                self._batcher.reserve(len(early.items))
            except BaseException:
                self._batcher.release(len(rest))
                raise
            rest = job.items
        if rest:
            self._batcher.submit(job, rest)

    def _labels(self) -> set[str]:
        served = self.champion.served
        return set(served.classifier.labels) if served else set()

    def _erased(self) -> None:
        self.forget_answers()
        self.on_erased()

    def _refuse_when_draining(self) -> None:
        if self.draining:
            raise ShuttingDown("the service is shutting down: try another instance, or this one later")


def _early_batch(job: Job) -> ComputedBatch | None:
    """The answers that the early stages of a cascade gave while the job's texts were encoded; None: there are none."""
    early = [item for item in job.items if item.encoded.answered]
    if not early:
        return None
    try:
        rows, stages = job.model.classifier.infer_staged([item.encoded for item in early])
    except PredictionFailed:  # the batcher finds out for which text
        return None
    return ComputedBatch(job.model, early, rows, job.submitted, time.monotonic(), stages=stages)
