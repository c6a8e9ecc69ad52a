"""The service without HTTP: classifies texts and logs the predictions, and stores feedback."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Protocol, TypedDict, TypeVar

import numpy as np

from classifier import Classifier, Encoded, PredictionFailed
from service.api_keys import KeyRing
from service.errors import (
    ClientDisconnected,
    DeadlinePassed,
    InvalidContent,
    NoModel,
    PredictionBroken,
    ShuttingDown,
    StoreUnavailable,
    UnknownPrediction,
)
from service.inference.audit import CascadeAudit, CascadeCounts
from service.inference.batcher import Batcher, IdleTasks
from service.inference.bundle_check import CheckLimits
from service.inference.cache import AnswerCache
from service.inference.challenger import Agreement, AgreementCounter, Shadow, challenger_follower, in_canary
from service.inference.jobs import Answer, ClassifyResult, ComputedBatch, Job, ServedModel, Stages
from service.inference.model_follower import ChampionFollower
from service.inference.prediction_log import PredictionLog
from service.inference.prediction_sink import PredictionSink, StoreHandle, open_store
from service.observability.metrics import Metrics
from service.observability.tracing import Tracing
from service.schemas import ClassifyRequest, FeedbackRequest
from service.settings import ServiceSettings
from stores.errors import PredictionStoreError
from stores.predictions import FeedbackResult
from stores.predictions.audits import add_audits
from stores.predictions.erasure import erase_predictions
from stores.settings import PredictionSettings, SigningSettings, TrackingSettings, private_umask
from stores.sources import API

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


class Connection(Protocol):
    """A client's connection that says when it is lost."""

    lost: bool

    def watch(self, callback: Callable[[], object]) -> None:
        """Call `callback` on the event loop when it is lost."""

    def unwatch(self) -> None:
        """Call nothing any more."""


Disconnected = Callable[[], Awaitable[None]] | Connection
"""Tells when the client has disconnected: a connection, or a function that returns then."""


class JobFacts(TypedDict):
    """What is stored with a request's predictions."""

    request_id: str | None
    source: str
    key_name: str | None


_ENCODERS = 2
"""Threads that tokenise, so that a list of long texts does not delay a short one."""
_SHORT_TEXT = 2_000
"""Characters that are tokenised on the event loop: 0.3 ms, about the cost of waking a thread."""
_ENCODED_AT_ONCE = 50_000
"""Characters that are tokenised in one call; a tokenizer holds about 230 bytes for each."""
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
        self._audit = CascadeAudit(
            settings.cascade_audit_rate,
            keep=self._keep_audits,
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
        self._encoders = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="encoder")
        self._writers = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="feedback")
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
        self._encoders.shutdown()
        self._batcher.stop(_STOP_SECONDS)
        self._log.stop(_STOP_SECONDS)
        if self.sink is not None:
            self.sink.stop(_LOAD_SECONDS)
        self._writers.shutdown()
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
            disconnected: tells when the client has disconnected.

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
            encoded = await self._encode(model, request, deadline, disconnected)
            encoded, relaxed = self._relaxed(model, encoded)
            job = Job(model, encoded, deadline=deadline, began=started, **facts)
            self._submit_staged(job)
        elif job is None:
            self._batcher.reserve(len(texts))
            try:
                encoded = await self._encode(model, request, deadline, disconnected)
            except BaseException:
                self._batcher.release(len(texts))
                raise
            job = Job(model, encoded, deadline=deadline, began=started, **facts)
            self._batcher.submit(job)
        try:
            answers = await _answered(job, disconnected)
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
        """Store true labels; `deadline`, `source` and `key_name` as in `classify`.

        Args:
            of_key: name of the key whose predictions may be labelled; others are reported as unknown. None: all may.

        Raises:
            InvalidContent: too many items, conflicting ones, or a label that the model does not know.
            StoreUnavailable: they could not be stored.
            DeadlinePassed: they were not stored in time; they may be stored later, and can be sent again.
        """
        self._refuse_when_draining()
        if len(request.feedback) > self.settings.max_texts:
            raise InvalidContent(
                f"feedback has {len(request.feedback)} items, and at most {self.settings.max_texts} are taken at a "
                "time",
                code="too_many_items",
                field="feedback",
            )
        labels = request.labels
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                return await loop.run_in_executor(
                    self._writers, self._keep, request, labels, source, key_name, of_key
                )
        except TimeoutError:
            raise _deadline_passed() from None
        except PredictionStoreError as error:
            logger.error("feedback_not_kept", extra={"fields": {"reason": str(error)}})
            raise StoreUnavailable("the feedback could not be kept: try again") from error

    async def erase(self, prediction_id: str, *, of_key: str | None, deadline: float) -> None:
        """Erase a prediction and its labels from the store, and clear the cache.

        Args:
            prediction_id: its id.
            of_key: name of the API key whose predictions may be erased; None: all.
            deadline: as in `classify`.

        Raises:
            UnknownPrediction: there is none with this id, or none of this key.
            StoreUnavailable: it could not be erased, or may still be in the spool.
            DeadlinePassed: it was not erased in time; it may be erased later.
        """
        self._refuse_when_draining()
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                await loop.run_in_executor(self._writers, self._erase, prediction_id, of_key)
        except TimeoutError:
            raise _deadline_passed() from None
        except PredictionStoreError as error:
            logger.error("prediction_not_erased", extra={"fields": {"reason": str(error)}})
            raise StoreUnavailable("the prediction could not be erased: try again") from error

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
            and in_canary(sticky_key or secrets.token_hex(8), challenger.model_id, self.settings.canary_share)
        ):
            return challenger
        return champion

    async def _encode(
        self,
        model: ServedModel,
        request: ClassifyRequest,
        deadline: float,
        disconnected: Disconnected | None,
    ) -> list[Encoded]:
        texts = request.texts
        if sum(map(len, texts)) <= _SHORT_TEXT:
            encoded = model.classifier.encode(texts)
        else:
            over = threading.Event()
            loop = asyncio.get_running_loop()
            running = loop.run_in_executor(self._encoders, _encoded, model.classifier, texts, deadline, over)
            try:
                encoded = await _awaited(running, deadline, disconnected)
            finally:
                over.set()
        _refuse_too_long(encoded, request, model)
        return encoded

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
        _refuse_too_long(encoded, request, model)
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

    def _keep(
        self,
        request: FeedbackRequest,
        labels: dict[str, str],
        source: str,
        key_name: str | None,
        of_key: str | None,
    ) -> FeedbackResult:
        store = open_store(self.sink, self._store)
        served = self.champion.served
        known = set(served.classifier.labels) if served else set()
        # A label that the present model lacks may belong to the model that gave the prediction.
        asked = [item.id for item in request.feedback if item.label not in known]
        labels_of = store.labels_of(asked, of_key=of_key) if asked else {}
        for index, item in enumerate(request.feedback):
            if item.label in known:
                continue
            allowed = labels_of.get(item.id, known)
            if allowed and item.label not in allowed:
                raise InvalidContent(
                    f"feedback[{index}].label is not a label of the model; it knows {', '.join(sorted(allowed))}",
                    code="unknown_label",
                    field=f"feedback[{index}].label",
                )
        result = store.add_feedback(labels, source=source, key_name=key_name, of_key=of_key)
        if result.unknown and self.sink is not None and self.sink.may_hold_unsent():
            raise PredictionStoreError("the prediction may be in the spool")
        return result

    def _keep_audits(self, labels: Mapping[str, str]) -> None:
        """Write audits to the store in a thread that no answer waits for; those of spooled predictions are not kept."""
        if self.sink is not None and not self.sink.is_away:
            self._writers.submit(self._write_audits, labels)

    def _write_audits(self, labels: Mapping[str, str]) -> None:
        try:
            add_audits(open_store(self.sink, self._store), labels)
        except PredictionStoreError as error:
            logger.warning("audits_not_kept", extra={"fields": {"audits": len(labels), "reason": str(error)}})

    def _erase(self, prediction_id: str, of_key: str | None) -> None:
        store = open_store(self.sink, self._store)
        spooled = self.sink is not None and self.sink.may_hold_unsent()
        found = erase_predictions(store, [prediction_id], of_key=of_key)
        if found.ids:
            self.forget_answers()
            self.on_erased()
        elif spooled:
            raise PredictionStoreError("the prediction may be in the spool")
        else:
            raise UnknownPrediction("there is no prediction with this id")

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


def _refuse_too_long(encoded: Sequence[Encoded], request: ClassifyRequest, model: ServedModel) -> None:
    """Raise InvalidContent for the first truncated text if the request has `on_too_long: error`."""
    if request.on_too_long != "error":
        return
    for position, item in enumerate(encoded):
        if item.truncated:
            field = request.field_of(position)
            raise InvalidContent(
                f"{field} has {item.tokens} tokens, and the model reads {model.classifier.max_length}: "
                "shorten it, or send on_too_long: truncate",
                code="text_too_long",
                field=field,
            )


def _encoded(
    classifier: Classifier, texts: Sequence[str], deadline: float, over: threading.Event
) -> list[Encoded]:
    """Encode the texts, a bounded part at a time; stops when the deadline has passed or `over` is set."""
    encoded: list[Encoded] = []
    for part in _parts(texts):
        if over.is_set() or time.monotonic() >= deadline:
            raise _deadline_passed()
        encoded += classifier.encode(part)
    return encoded


def _parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """Slices of the texts with at most _ENCODED_AT_ONCE characters each, or one longer text."""
    first, characters = 0, 0
    for position, text in enumerate(texts):
        if characters and characters + len(text) > _ENCODED_AT_ONCE:
            yield texts[first:position]
            first, characters = position, 0
        characters += len(text)
    yield texts[first:]


async def _answered(job: Job, disconnected: Disconnected | None) -> list[Answer]:
    """The job's answers; it is abandoned at its deadline, when its client disconnects, or on cancellation."""
    return await _awaited(job.future, job.deadline, disconnected)


async def _awaited(
    result: Future[Result] | asyncio.Future[Result], deadline: float, disconnected: Disconnected | None
) -> Result:
    """The result; it is cancelled when the deadline passes, the client disconnects, or this task is cancelled.

    Raises:
        DeadlinePassed, ClientDisconnected: instead of a result.
    """
    # One future and a timer: a task for the connection and `asyncio.wait` took longer than the look-up of an answer.
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    if isinstance(result, Future):
        result.add_done_callback(partial(_wake_from_thread, loop, waiter))
    else:
        result.add_done_callback(partial(_wake, waiter))
    timer = loop.call_later(max(0.0, deadline - time.monotonic()), _wake, waiter)
    watcher: asyncio.Future[None] | None = None
    connection: Connection | None = None
    if callable(disconnected):
        watcher = asyncio.ensure_future(disconnected())
        watcher.add_done_callback(partial(_wake, waiter))
    elif disconnected is not None:
        connection = disconnected
        connection.watch(partial(_wake, waiter))
    try:
        await waiter
        if result.done():
            return result.result()
        if (watcher is not None and watcher.done()) or (connection is not None and connection.lost):
            raise ClientDisconnected("the client closed its connection before the answer")
        raise _deadline_passed()
    finally:
        timer.cancel()
        result.cancel()
        if watcher is not None:
            watcher.cancel()
        if connection is not None:
            connection.unwatch()


def _wake(waiter: asyncio.Future[None], _done: object = None) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _wake_from_thread(loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None], _done: object) -> None:
    with suppress(RuntimeError):  # the loop has been closed
        loop.call_soon_threadsafe(_wake, waiter)


def _deadline_passed() -> DeadlinePassed:
    return DeadlinePassed(
        "the request was not answered within its time: send fewer texts, or allow more time (X-Deadline-Ms, "
        "REQUEST_TIMEOUT)"
    )
