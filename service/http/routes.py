"""The routes: each reads a request, calls the engine, and builds the response."""

from __future__ import annotations

import asyncio
import math
import re
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from service.api_keys import Key, KeyRing
from service.engine import Engine
from service.errors import InvalidContent
from service.http.connection import exchange_of
from service.http.pages import Handler, pages
from service.http.request_body import DEADLINE_HEADER, BodyReader
from service.http.statuses import json_bytes, json_response
from service.inference.jobs import Answer, ClassifyResult, ServedModel, Stages
from service.requests import ClassifyRequest, FeedbackRequest
from stores.sources import API, PATTERN, is_source

Table = dict[str, dict[str, Handler]]

PREDICTION_ROUTE = "/predictions/{id}"
_PREDICTION_PATH = re.compile(r"/predictions/[0-9a-f]{32}")
STICKY_HEADER = "x-sticky-key"
SOURCE_HEADER = "x-source"
_SMALL_ANSWER = 2000
"""Probabilities of an answer that is serialised on the event loop, in a few milliseconds."""


def route_of(path: str) -> str:
    """The route that a path belongs to, as `Routes.table` and the metrics name it."""
    return PREDICTION_ROUTE if _PREDICTION_PATH.fullmatch(path) else path


class Routes:
    """The handlers of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._bodies = BodyReader(engine.settings)
        engine.metrics.inflight_bytes.set_function(lambda: self._bodies.held)

    def table(self) -> Table:
        """Path → method → handler."""
        return {
            "/classify": {"POST": self.classify},
            "/feedback": {"POST": self.feedback},
            "/model": {"GET": self.model},
            "/livez": {"GET": self.livez},
            "/healthz": {"GET": self.livez},
            "/readyz": {"GET": self.readyz},
            "/metrics": {"GET": self.metrics},
            PREDICTION_ROUTE: {"DELETE": self.erase},
            **{path: {"GET": page} for path, page in pages().items()},
        }

    async def classify(self, request: Request) -> Response:
        """`POST /classify`."""
        deadline = time.monotonic() + _allowed_seconds(request, self._engine.settings.request_timeout)
        state = request.state
        source = state.source = source_of(request)
        content = await self._bodies.read(
            request, ClassifyRequest, deadline, admit=self._engine.refuse_lists_when_full
        )
        texts = state.texts = len(content.texts)
        key: Key = state.key
        key.take_texts(texts)
        result = await self._engine.classify(
            content,
            deadline=deadline,
            request_id=state.request_id,
            source=source,
            key_name=key.name,
            sticky_key=request.headers.get(STICKY_HEADER),
            disconnected=exchange_of(request.scope) or (lambda: _wait_for_disconnect(request)),
        )
        state.version = result.model.version
        state.stages = result.stages
        if len(result.answers) * len(result.answers[0].scores) <= _SMALL_ANSWER:
            body = _classify_body(result, content.top_k)
        else:
            body = await asyncio.to_thread(_classify_body, result, content.top_k)
        response = Response(body, media_type="application/json")
        response.headers["Server-Timing"] = _server_timing(result.stages)
        return response

    async def feedback(self, request: Request) -> Response:
        """`POST /feedback`."""
        deadline = time.monotonic() + self._engine.settings.request_timeout
        source = request.state.source = source_of(request)
        content = await self._bodies.read(request, FeedbackRequest, deadline)
        request.state.texts = len(content.feedback)
        key: Key = request.state.key
        result = await self._engine.feedback(
            content, deadline=deadline, source=source, key_name=key.name, of_key=key.owner_filter
        )
        return json_response({"accepted": result.accepted, "unknown": result.unknown})

    async def erase(self, request: Request) -> Response:
        """`DELETE /predictions/{id}`."""
        deadline = time.monotonic() + self._engine.settings.request_timeout
        key: Key = request.state.key
        prediction_id = request.url.path.rpartition("/")[2]
        await self._engine.erase(prediction_id, of_key=key.owner_filter, deadline=deadline)
        return json_response({"erased": prediction_id})

    async def model(self, _request: Request) -> Response:
        """`GET /model`."""
        return json_response(_card(self._engine.model(), self._engine))

    async def livez(self, _request: Request) -> Response:
        """`GET /livez`: 503 when a thread has died or is stuck, so that the process is restarted."""
        alive = self._engine.alive
        return json_response({"alive": alive}, status=200 if alive else 503)

    async def readyz(self, _request: Request) -> Response:
        """`GET /readyz`: 503 while requests would not be answered."""
        ready, sink = self._engine.ready and self._engine.others_ready, self._engine.sink
        body: dict[str, Any] = {"ready": ready}
        state = None if sink is None else sink.state()
        if state is not None and (state.spooled_rows or not state.available):
            body["store"] = {"available": state.available, "spooled_rows": state.spooled_rows}
        return json_response(body, status=200 if ready else 503)

    async def metrics(self, _request: Request) -> Response:
        """`GET /metrics`."""
        content = await self._engine.metrics.collect()
        return Response(content, media_type=self._engine.metrics.content_type)


def source_of(request: Request) -> str:
    """The header X-Source; `api` without it."""
    given = request.headers.get(SOURCE_HEADER)
    if given is None:
        return API
    if not is_source(given):
        raise InvalidContent(
            f"the header X-Source must match {PATTERN}", code="invalid_source", field="X-Source"
        )
    return given


def _allowed_seconds(request: Request, limit: float) -> float:
    """Seconds that the request may take: X-Deadline-Ms, at most `limit`."""
    given = request.headers.get(DEADLINE_HEADER)
    if given is None:
        return limit
    try:
        milliseconds = float(given)
    except ValueError:
        milliseconds = math.nan
    if not 0 < milliseconds < math.inf:
        raise InvalidContent(
            "the header X-Deadline-Ms must be a number of milliseconds above 0",
            code="invalid_deadline",
            field="X-Deadline-Ms",
        )
    return min(limit, milliseconds / 1000)


def _server_timing(stages: Stages) -> str:
    """The header Server-Timing, in milliseconds; browsers' developer tools draw it."""
    return ", ".join(f"{stage};dur={seconds * 1000:.2f}" for stage, seconds in stages.as_dict().items())


async def _wait_for_disconnect(request: Request) -> None:
    """Return when the client has disconnected; the body has been read, so no other message follows."""
    while (await request.receive())["type"] != "http.disconnect":
        continue


def _classify_body(result: ClassifyResult, top_k: int | None) -> bytes:
    """The response body; predictions are serialised one by one, so that they are not all held as objects."""
    model = {"name": result.model.name, "version": result.model.version, "alias": result.model.alias}
    predictions = b",".join(json_bytes(_prediction(answer, top_k)) for answer in result.answers)
    return b'{"model":%s,"predictions":[%s]}' % (json_bytes(model), predictions)


def _prediction(answer: Answer, top_k: int | None) -> dict[str, Any]:
    label, score = answer.scores[0]
    return {
        "id": answer.id,
        "label": label,
        "score": score,
        "scores": [{"label": name, "score": value} for name, value in answer.scores[:top_k]],
        "tokens": answer.tokens,
        "truncated": answer.truncated,
        **({} if answer.stage is None else {"stage": answer.stage}),
    }


def _card(model: ServedModel, engine: Engine) -> dict[str, Any]:
    state = engine.champion.state
    return {
        "name": model.name,
        "version": model.version,
        "alias": model.alias,
        "candidate": model.classifier.description.candidate,
        "labels": list(model.classifier.labels),
        "max_length": model.classifier.max_length,
        "file": model.classifier.description.model_file,
        "file_reason": model.runs,
        "int8": model.int8.as_dict() if model.int8 else None,
        "device": model.classifier.device,
        "metrics": numeric_tags(model.tags),
        "loaded_at": _time(model.loaded_at),
        "follows": state.source,
        "last_poll": _time(state.last_poll),
        "problem": state.problem,
        "problem_at": _time(state.problem_at),
        "challenger": _challenger_card(engine),
        "cascade": _cascade_card(model, engine),
        "keys": _keys_card(engine.keys),
        "predictions": _predictions_card(engine),
    }


def _predictions_card(engine: Engine) -> dict[str, Any] | None:
    if engine.sink is None:
        return None
    state = engine.sink.state()
    return {
        "policy": state.policy,
        "store": "available" if state.available else "unavailable",
        "problem": state.problem,
        "since": _time(state.since),
        "spooled_rows": state.spooled_rows,
        "spooled_bytes": state.spooled_bytes,
        "oldest_spooled": _time(state.oldest_spooled),
        "damaged_rows": state.damaged,
    }


def _keys_card(keys: KeyRing) -> dict[str, Any] | None:
    if not keys.required:
        return None
    return {"keys": len(keys), "loaded_at": _time(keys.loaded_at), "problem": keys.problem}


def _cascade_card(model: ServedModel, engine: Engine) -> dict[str, Any] | None:
    stages = model.classifier.stages
    if not stages:
        return None
    counts = engine.cascade_counts(model)
    agreement = counts.agreement
    return {
        "stages": list(stages),
        "texts": {stage: counts.stages[stage] for stage in stages},
        "early_share": counts.early_share(stages[-1]),
        "audit_rate": engine.settings.cascade_audit_rate,
        "audited": counts.audited,
        "agreed": counts.agreed,
        "agreement": agreement and dict(zip(("value", "low", "high"), agreement, strict=True)),
    }


def _challenger_card(engine: Engine) -> dict[str, Any] | None:
    challenger = engine.challenger
    if challenger is None:
        return None
    return {
        "version": challenger.version,
        "candidate": challenger.classifier.description.candidate,
        "loaded_at": _time(challenger.loaded_at),
        "canary_share": engine.settings.canary_share,
        "shadow_rate": engine.settings.shadow_rate,
        **asdict(engine.agreement(challenger)),
    }


def numeric_tags(tags: dict[str, str]) -> dict[str, float]:
    """The numeric tags of a version, which are its metrics."""
    numbers = {}
    for name, value in sorted(tags.items()):
        try:
            number = float(value)
        except ValueError:
            continue
        if math.isfinite(number):
            numbers[name] = number
    return numbers


def _time(seconds: float | None) -> str | None:
    return (
        None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    )
