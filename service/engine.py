"""The service without HTTP: from texts to answers that are logged, and from labels to feedback that is kept."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from classifier import Encoded
from service.agreement import Agreement, AgreementCounter
from service.answer_cache import AnswerCache
from service.batcher import Batcher
from service.canary import chosen
from service.challenger import challenger_follower
from service.champion import ChampionFollower
from service.errors import (
    ClientGone,
    DeadlinePassed,
    InvalidContent,
    NoModel,
    PredictionBroken,
    ShuttingDown,
    StoreUnavailable,
)
from service.jobs import Answer, Classified, Computed, Job, ServedModel, Stages
from service.metrics import Metrics
from service.prediction_log import PredictionLog
from service.schemas import ClassifyRequest, FeedbackRequest
from service.settings import ServiceSettings
from service.shadow import Shadow
from service.store import StoreHandle
from service.tracing import Tracing
from stores.errors import PredictionStoreError
from stores.predictions import FeedbackResult
from stores.settings import PredictionSettings, SigningSettings, TrackingSettings

logger = logging.getLogger(__name__)

_ENCODERS = 2
"""Threads that tokenise, so that a list of long texts does not hold up a short one."""
_SHORT_TEXT = 2_000
"""Characters that are tokenised on the event loop: a third of a millisecond, as long as it takes to wake a thread."""
_STOP_SECONDS = 30.0
_LOAD_SECONDS = 2.0
"""A load that is going on at the end is not waited for: nobody will use it."""


class Engine:
    """Everything between the HTTP face and the stores.

    A text is tokenised off the event loop, waits in the batcher's line, is computed in a batch, is committed to the
    prediction store, and is then answered. Each stage has threads of its own, so they overlap.
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
        self.metrics = metrics or Metrics()
        self._store = StoreHandle(predictions.url)
        self._log = PredictionLog(
            self._store if settings.log_predictions else None, observe=self.metrics.commit
        )
        self._cache = AnswerCache(settings.cache_bytes, observe=self.metrics.known)
        self._agreement = AgreementCounter()
        self._shadow = Shadow(
            settings.shadow_rate,
            self._agreement,
            observe=self.metrics.shadowed,
            dropped=self.metrics.shadow_dropped.inc,
        )
        self._batcher = Batcher(
            self._log.put,
            batch_tokens=settings.batch_tokens,
            capacity=settings.queue_texts,
            lanes=settings.cores,
            stall_seconds=settings.stall_seconds,
            cache=self._cache,
            spare=self._shadow,
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
            on_swap=self.metrics.swapped,
            on_failure=self.metrics.follow_failed,
        )
        self._challenger = challenger_follower(settings, tracking, signing, self.metrics.challenger_swapped)
        endpoint = settings.otel_exporter_otlp_endpoint
        self.tracing = Tracing(endpoint) if endpoint else None
        self._encoders = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="encoder")
        self._writers = ThreadPoolExecutor(_ENCODERS, thread_name_prefix="feedback")
        self.draining = False
        """Set when the process was told to stop: new work is refused, accepted work is finished."""
        self.metrics.queue_texts.set_function(lambda: self._batcher.waiting)
        self.metrics.cache_bytes.set_function(lambda: self._cache.bytes)
        self.metrics.drain_rate.set_function(lambda: self._batcher.rate)

    def start(self) -> None:
        """Start every thread; returns at once, the champion is loaded in the background."""
        self._log.start()
        self._batcher.start()
        self.champion.start()
        if self._challenger is not None:
            self._challenger.start()
        if self.settings.log_predictions:
            self._writers.submit(self._open_store_early)

    def stop(self) -> None:
        """Finish what was accepted, and end every thread."""
        self.draining = True
        self._encoders.shutdown()
        self._batcher.stop(_STOP_SECONDS)
        self._log.stop(_STOP_SECONDS)
        self._writers.shutdown()
        self.champion.stop(_LOAD_SECONDS)
        if self._challenger is not None:
            self._challenger.stop(_LOAD_SECONDS)
        self._store.close()
        if self.tracing is not None:
            self.tracing.stop()

    @property
    def alive(self) -> bool:
        """Whether every thread that an answer needs is there and moves."""
        return self._batcher.alive and self._log.alive and self.champion.alive

    @property
    def ready(self) -> bool:
        """Whether a request that comes now would be answered."""
        return self.alive and not self.draining and self.champion.served is not None

    def model(self) -> ServedModel:
        """The model that answers now.

        Raises:
            NoModel: none has been loaded; the message says why and what to do.
        """
        if self.champion.served is not None:
            return self.champion.served
        following = self.champion.following
        reason = following.advice or f"{following.source} is still being loaded"
        raise NoModel(f"no model is loaded yet: {reason}", retry_after=max(1.0, self.settings.poll_seconds))

    @property
    def challenger(self) -> ServedModel | None:
        """The model that is compared with the champion, or answers a share of the requests; None: there is none."""
        found = self._challenger.served if self._challenger is not None else None
        champion = self.champion.served
        # It has just been promoted, and both followers have not looked yet.
        return None if found is None or champion is None or found.model_id == champion.model_id else found

    def agreement(self, challenger: ServedModel) -> Agreement:
        """How often `challenger` gave the same label as the champion that answers now."""
        return self._agreement.of((self.model().model_id, challenger.model_id))

    async def classify(
        self,
        request: ClassifyRequest,
        *,
        deadline: float,
        request_id: str | None = None,
        sticky_key: str | None = None,
        gone: Callable[[], Awaitable[None]] | None = None,
    ) -> Classified:
        """Answers to the request's texts, in order, and the model that gave them; every one is logged.

        Args:
            request: texts and options.
            deadline: `time.monotonic()` after which nobody waits for them.
            request_id: kept with the predictions.
            sticky_key: requests with the same one are answered by the same model while CANARY_SHARE is set.
            gone: returns when the client has left.

        Raises:
            NoModel, QueueFull, ShuttingDown, WorkerDead, StoreUnavailable, InvalidContent, PredictionBroken,
            DeadlinePassed, ClientGone.
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
        job = self._known(model, request, deadline, request_id)
        if job is None:
            self._batcher.reserve(len(texts))
            try:
                encoded = await self._encode(model, request, deadline)
            except BaseException:
                self._batcher.release(len(texts))
                raise
            job = Job(model, encoded, deadline=deadline, request_id=request_id, began=started)
            self._batcher.submit(job)
        try:
            answers = await _answered(job, gone)
        except PredictionBroken as error:
            if isinstance(request.text, str):
                error.field = "text"
            raise
        found = Classified(model, answers, Stages.of(job, tokenise=job.submitted - started))
        self.metrics.answered(found)
        if model is self.champion.served and self._shadow.offer(model, self.challenger, texts, answers):
            self._batcher.nudge()
        return found

    async def feedback(self, request: FeedbackRequest, *, deadline: float) -> FeedbackResult:
        """Note true labels; `deadline` as in `classify`.

        Raises:
            InvalidContent: too many items, conflicting ones, or a label that the model does not know.
            StoreUnavailable: they could not be kept.
            DeadlinePassed: they were not kept in time; they may be kept yet, and can safely be sent again.
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
                return await loop.run_in_executor(self._writers, self._keep, request, labels)
        except TimeoutError:
            raise _deadline_passed() from None
        except PredictionStoreError as error:
            logger.error("feedback_not_kept", extra={"fields": {"reason": str(error)}})
            raise StoreUnavailable("the feedback could not be kept: try again") from error

    # -- inside ---------------------------------------------------------------------------------------------------

    def _model_for(self, sticky_key: str | None) -> ServedModel:
        """The champion, or for a share of the keys the challenger."""
        champion, challenger = self.model(), self.challenger
        if (
            challenger is not None
            and set(challenger.classifier.labels) == set(champion.classifier.labels)
            and chosen(sticky_key or secrets.token_hex(8), challenger.model_id, self.settings.canary_share)
        ):
            return challenger
        return champion

    async def _encode(self, model: ServedModel, request: ClassifyRequest, deadline: float) -> list[Encoded]:
        texts = request.texts
        if sum(map(len, texts)) <= _SHORT_TEXT:
            encoded = model.classifier.encode(texts)
        else:
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                    encoded = await loop.run_in_executor(self._encoders, model.classifier.encode, texts)
            except TimeoutError:
                raise _deadline_passed() from None
        _refuse_too_long(encoded, request, model)
        return encoded

    def _known(
        self, model: ServedModel, request: ClassifyRequest, deadline: float, request_id: str | None
    ) -> Job | None:
        """A job whose every answer is known, on its way to the log; None when there is something to compute."""
        known = self._cache.get_all(model.model_id, request.texts)
        if known is None:
            return None
        encoded = [
            Encoded(text, (), item.tokens, item.truncated)
            for text, item in zip(request.texts, known, strict=True)
        ]
        _refuse_too_long(encoded, request, model)
        job = Job(model, encoded, deadline=deadline, request_id=request_id)
        rows = np.stack([item.probabilities for item in known])
        batch = Computed(model, job.items, rows, job.submitted, job.submitted, remembered=True)
        return job if self._log.offer(batch) else None

    def _keep(self, request: FeedbackRequest, labels: dict[str, str]) -> FeedbackResult:
        store = self._store()
        served = self.champion.served
        known = set(served.classifier.labels) if served else set()
        for index, item in enumerate(request.feedback):
            if item.label in known:
                continue
            # Not a label of today's model: it may be one of the model that gave the prediction.
            prediction = store.get(item.id)
            allowed = set(prediction.scores) if prediction else known
            if allowed and item.label not in allowed:
                raise InvalidContent(
                    f"feedback[{index}].label is not a label of the model; it knows {', '.join(sorted(allowed))}",
                    code="unknown_label",
                    field=f"feedback[{index}].label",
                )
        return store.add_feedback(labels)

    def _open_store_early(self) -> None:
        """Migrate before the first request, not during it; a failure shows when a prediction is to be logged."""
        try:
            self._store()
        except PredictionStoreError:
            return

    def _refuse_when_draining(self) -> None:
        if self.draining:
            raise ShuttingDown("the service is shutting down: try another instance, or this one later")


def _refuse_too_long(encoded: Sequence[Encoded], request: ClassifyRequest, model: ServedModel) -> None:
    """Raise InvalidContent for the first text that the model would cut, where the request asks for that."""
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


async def _answered(job: Job, gone: Callable[[], Awaitable[None]] | None) -> list[Answer]:
    """The job's answers; it is abandoned when its deadline passes, its client leaves, or this task is cancelled."""
    answers = asyncio.wrap_future(job.future)
    watcher = asyncio.ensure_future(gone()) if gone else None
    awaited: set[asyncio.Future[Any]] = {answers} if watcher is None else {answers, watcher}
    try:
        await asyncio.wait(
            awaited,
            timeout=max(0.0, job.deadline - time.monotonic()),
            return_when=asyncio.FIRST_COMPLETED,
        )
        if answers.done():
            return answers.result()
        if watcher is not None and watcher.done():
            raise ClientGone("the client closed its connection before the answer")
        raise _deadline_passed()
    finally:
        answers.cancel()
        if watcher is not None:
            watcher.cancel()


def _deadline_passed() -> DeadlinePassed:
    return DeadlinePassed(
        "the request was not answered within its time: send fewer texts, or allow more time (X-Deadline-Ms, "
        "REQUEST_TIMEOUT)"
    )
