"""The routes: what each takes from a request, asks of the engine, and answers."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from service.body import read_json
from service.engine import Engine
from service.errors import InvalidContent
from service.jobs import Answer, ServedModel, Stages
from service.pages import Handler, pages
from service.schemas import ClassifyRequest, FeedbackRequest, validated
from service.statuses import json_response

Table = dict[str, dict[str, Handler]]

DEADLINE_HEADER = "x-deadline-ms"
STICKY_HEADER = "x-sticky-key"


class Routes:
    """The handlers of one engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

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
            **{path: {"GET": page} for path, page in pages().items()},
        }

    async def classify(self, request: Request) -> Response:
        """`POST /classify`."""
        deadline = time.monotonic() + _allowed_seconds(request, self._engine.settings.request_timeout)
        body = await read_json(request, self._engine.settings.max_body_bytes, deadline)
        content = validated(ClassifyRequest, body)
        request.state.texts = len(content.texts)
        found = await self._engine.classify(
            content,
            deadline=deadline,
            request_id=request.state.request_id,
            sticky_key=request.headers.get(STICKY_HEADER),
            gone=lambda: _disconnected(request),
        )
        request.state.version = found.model.version
        request.state.stages = found.stages
        response = json_response(
            {
                "model": {
                    "name": found.model.name,
                    "version": found.model.version,
                    "alias": found.model.alias,
                },
                "predictions": [_prediction(answer, content.top_k) for answer in found.answers],
            }
        )
        response.headers["Server-Timing"] = _server_timing(found.stages)
        return response

    async def feedback(self, request: Request) -> Response:
        """`POST /feedback`."""
        deadline = time.monotonic() + self._engine.settings.request_timeout
        body = await read_json(request, self._engine.settings.max_body_bytes, deadline)
        content = validated(FeedbackRequest, body)
        request.state.texts = len(content.feedback)
        result = await self._engine.feedback(content, deadline=deadline)
        return json_response({"accepted": result.accepted, "unknown": result.unknown})

    async def model(self, _request: Request) -> Response:
        """`GET /model`."""
        return json_response(_card(self._engine.model(), self._engine))

    async def livez(self, _request: Request) -> Response:
        """`GET /livez`: 503 when a thread has died or is stuck, so that the process is restarted."""
        alive = self._engine.alive
        return json_response({"alive": alive}, status=200 if alive else 503)

    async def readyz(self, _request: Request) -> Response:
        """`GET /readyz`: 503 while a request would not be answered."""
        ready = self._engine.ready
        return json_response({"ready": ready}, status=200 if ready else 503)

    async def metrics(self, _request: Request) -> Response:
        """`GET /metrics`."""
        content = await asyncio.to_thread(self._engine.metrics.render)
        return Response(content, media_type=self._engine.metrics.content_type)


def _allowed_seconds(request: Request, limit: float) -> float:
    """Seconds that the request may take: what its header says, at most `limit`."""
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
    """The stages as the header has them, in milliseconds: browsers' tools draw them."""
    return ", ".join(f"{stage};dur={seconds * 1000:.2f}" for stage, seconds in stages.as_dict().items())


async def _disconnected(request: Request) -> None:
    """Return when the client has left; the body has been read, so nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        continue


def _prediction(answer: Answer, top_k: int | None) -> dict[str, Any]:
    label, score = answer.scores[0]
    return {
        "id": answer.id,
        "label": label,
        "score": score,
        "scores": [{"label": name, "score": value} for name, value in answer.scores[:top_k]],
        "tokens": answer.tokens,
        "truncated": answer.truncated,
    }


def _card(model: ServedModel, engine: Engine) -> dict[str, Any]:
    following = engine.champion.following
    return {
        "name": model.name,
        "version": model.version,
        "alias": model.alias,
        "candidate": model.classifier.description.candidate,
        "labels": list(model.classifier.labels),
        "max_length": model.classifier.max_length,
        "file": model.classifier.description.model_file,
        "file_reason": model.runs,
        "device": model.classifier.device,
        "metrics": numeric_tags(model.tags),
        "loaded_at": _time(model.loaded_at),
        "follows": following.source,
        "last_poll": _time(following.last_poll),
        "problem": following.problem,
        "problem_at": _time(following.problem_at),
        "challenger": _challenger_card(engine),
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
    """Those of a version's tags that are numbers, which training uses for its figures."""
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
