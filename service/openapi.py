"""The OpenAPI description: every route, every status, examples that work when pasted."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from service.schemas import (
    ClassifyAnswer,
    ClassifyRequest,
    ErrorAnswer,
    FeedbackAnswer,
    FeedbackRequest,
    ModelCard,
)

_REFERENCE = "#/components/schemas/{model}"
_EXAMPLE_ID = "18a1f0c2b3d4e5f60123456789abcdef"
_PREDICTION = {
    "id": _EXAMPLE_ID,
    "label": "business",
    "score": 0.98,
    "scores": [{"label": "business", "score": 0.98}, {"label": "tech", "score": 0.01}],
    "tokens": 13,
    "truncated": False,
}
_ERRORS: dict[int, tuple[str, str, str, str | None]] = {
    400: (
        "Malformed JSON or encoding.",
        "malformed_json",
        "the body is not valid JSON: Expecting value at line 1, column 10",
        None,
    ),
    401: (
        "API_KEYS is set, and the request carries none of them.",
        "not_authorised",
        "a key is needed: send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`",
        None,
    ),
    404: (
        "There is nothing at this path.",
        "not_found",
        "there is nothing at this path; the page at / lists every route",
        None,
    ),
    405: (
        "The path does not take this method.",
        "method_not_allowed",
        "this path does not take this method; it takes POST",
        None,
    ),
    413: (
        "The body is too large.",
        "body_too_large",
        "the body has more than 8388608 bytes, the limit of this service: send fewer texts at a time",
        None,
    ),
    422: (
        "Valid JSON with wrong content; `field` says which.",
        "text_too_long",
        "text[2] has 213 tokens, and the model reads 128: shorten it, or send on_too_long: truncate",
        "text[2]",
    ),
    429: (
        "As many texts wait as may; `Retry-After` comes from the measured rate.",
        "queue_full",
        "2000 texts are waiting already and at most 2000 may: try again later, or with fewer texts",
        None,
    ),
    500: (
        "The model, or the service, broke on this request.",
        "prediction_broken",
        "the model cannot compute this text, alone as well: leave it out",
        "text[2]",
    ),
    503: (
        "No model yet, the prediction store is away, or the service is shutting down.",
        "no_model",
        "no model is loaded yet: model 'news' has no 'champion': train one with `python -m training run`",
        None,
    ),
    504: (
        "The deadline passed; work that had not been started was not done.",
        "deadline_passed",
        "the request was not answered within its time: send fewer texts, or allow more time (X-Deadline-Ms, "
        "REQUEST_TIMEOUT)",
        None,
    ),
}
_REQUEST_ID = {
    "name": "X-Request-Id",
    "in": "header",
    "required": False,
    "description": "Named in the answer's headers, in errors, in the log and with the predictions. 1 to 64 of "
    "`0-9 A-Z a-z . _ : / + = -`; anything else is replaced by a new one.",
    "schema": {"type": "string"},
}
_DEADLINE = {
    "name": "X-Deadline-Ms",
    "in": "header",
    "required": False,
    "description": "Milliseconds until the answer is of no use. Never more than REQUEST_TIMEOUT.",
    "schema": {"type": "number", "exclusiveMinimum": 0},
}


_STICKY = {
    "name": "X-Sticky-Key",
    "in": "header",
    "required": False,
    "description": "Who asks: while CANARY_SHARE is set, the same key is answered by the same model every time.",
    "schema": {"type": "string"},
}


def openapi() -> dict[str, Any]:
    """The description, as OpenAPI 3.1 has it."""
    models = (ClassifyRequest, ClassifyAnswer, FeedbackRequest, FeedbackAnswer, ModelCard, ErrorAnswer)
    _, schemas = models_json_schema(
        [
            *((model, "validation") for model in models if model.__name__.endswith("Request")),
            *((model, "serialization") for model in models if not model.__name__.endswith("Request")),
        ],
        ref_template=_REFERENCE,
    )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Champion",
            "version": _version(),
            "description": "Classifies texts with the registered champion, and takes true labels back. "
            "A page to try it out: [/ui](/ui).",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": {
            "/classify": {"post": _classify()},
            "/feedback": {"post": _feedback()},
            "/model": {"get": _model()},
            "/livez": {"get": _probe("alive", "Whether the process should live: 503 asks for a restart.")},
            "/healthz": {"get": _probe("alive", "The same as /livez.", name="health")},
            "/readyz": {"get": _probe("ready", "Whether a request that comes now would be answered.")},
            "/metrics": {
                "get": {
                    "operationId": "metrics",
                    "tags": ["operation"],
                    "summary": "Prometheus metrics.",
                    "responses": {
                        "200": {
                            "description": "Prometheus' text format.",
                            "content": {"text/plain": {"schema": {"type": "string"}}},
                        }
                    },
                }
            },
        },
        "components": {
            "schemas": schemas["$defs"],
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def _classify() -> dict[str, Any]:
    return {
        "operationId": "classify",
        "tags": ["classification"],
        "summary": "Classify one text or a list of them.",
        "description": "Every prediction is committed to the prediction store before the answer leaves.",
        "security": [{}, {"bearer": []}, {"key": []}],
        "parameters": [_REQUEST_ID, _DEADLINE, _STICKY],
        "requestBody": _body(
            ClassifyRequest,
            one={"text": "Shares in London fell sharply after the bank raised rates."},
            several={"text": ["The striker scored twice.", "A new phone was shown."], "top_k": 1},
            strict={"text": "The minister resigned on Monday.", "on_too_long": "error"},
        ),
        "responses": {
            "200": _classified(),
            **_errors(400, 401, 405, 413, 422, 429, 500, 503, 504),
        },
    }


def _classified() -> dict[str, Any]:
    answer = _answer(
        ClassifyAnswer,
        "One prediction a text, in the order asked.",
        {"model": {"name": "news", "version": "7", "alias": "champion"}, "predictions": [_PREDICTION]},
    )
    answer["headers"]["Server-Timing"] = {
        "description": "Milliseconds of each stage: tokenise, queue, infer, log.",
        "schema": {"type": "string"},
        "example": "tokenise;dur=0.31, queue;dur=1.20, infer;dur=8.75, log;dur=0.90",
    }
    return answer


def _feedback() -> dict[str, Any]:
    return {
        "operationId": "feedback",
        "tags": ["classification"],
        "summary": "Say which labels were true.",
        "security": [{}, {"bearer": []}, {"key": []}],
        "parameters": [_REQUEST_ID],
        "requestBody": _body(FeedbackRequest, one={"feedback": [{"id": _EXAMPLE_ID, "label": "tech"}]}),
        "responses": {
            "200": _answer(FeedbackAnswer, "What became of it.", {"accepted": 0, "unknown": [_EXAMPLE_ID]}),
            **_errors(400, 401, 405, 413, 422, 500, 503, 504),
        },
    }


def _model() -> dict[str, Any]:
    return {
        "operationId": "model",
        "tags": ["classification"],
        "summary": "The model that answers now.",
        "security": [{}, {"bearer": []}, {"key": []}],
        "parameters": [_REQUEST_ID],
        "responses": {
            "200": _answer(
                ModelCard,
                "Its name, labels, figures, and how the following goes.",
                {
                    "name": "news",
                    "version": "7",
                    "alias": "champion",
                    "candidate": "minilm",
                    "labels": ["business", "tech"],
                    "max_length": 128,
                    "file": "model.int8.onnx",
                    "file_reason": "model.int8.onnx is 1.71 times as fast as model.onnx here",
                    "device": "cpu",
                    "metrics": {"test_macro_f1": 0.9712},
                    "loaded_at": "2026-01-31T12:00:00.000+00:00",
                    "follows": "models:/news@champion",
                    "last_poll": "2026-01-31T12:00:05.000+00:00",
                    "problem": None,
                    "problem_at": None,
                    "challenger": {
                        "version": "8",
                        "candidate": "minilm",
                        "loaded_at": "2026-01-31T12:00:01.000+00:00",
                        "canary_share": 0.05,
                        "shadow_rate": 0.1,
                        "texts": 120,
                        "agreed": 117,
                        "labels": {
                            "business": {"texts": 70, "agreed": 68},
                            "tech": {"texts": 50, "agreed": 49},
                        },
                    },
                },
            ),
            **_errors(401, 405, 500, 503),
        },
    }


def _probe(word: str, summary: str, *, name: str | None = None) -> dict[str, Any]:
    schema = {"type": "object", "properties": {word: {"type": "boolean"}}, "required": [word]}
    content = {"application/json": {"schema": schema}}
    return {
        "operationId": name or word,
        "tags": ["operation"],
        "summary": summary,
        "responses": {
            "200": {"description": "Yes.", "content": content},
            "503": {"description": "No.", "content": content},
            **_errors(405),
        },
    }


def _body(model: type[BaseModel], **examples: Any) -> dict[str, Any]:
    return {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": _REFERENCE.format(model=model.__name__)},
                "examples": {name: {"value": value} for name, value in examples.items()},
            }
        },
    }


def _answer(model: type[BaseModel], description: str, example: Any) -> dict[str, Any]:
    schema = {"$ref": _REFERENCE.format(model=model.__name__)}
    return {
        "description": description,
        "headers": {"X-Request-Id": {"schema": {"type": "string"}}},
        "content": {"application/json": {"schema": schema, "example": example}},
    }


def _errors(*statuses: int) -> dict[str, Any]:
    responses = {}
    for status in statuses:
        description, code, message, field = _ERRORS[status]
        error = {"code": code, "message": message, "field": field, "request_id": "4f1d2c3b5a697887"}
        responses[str(status)] = _answer(ErrorAnswer, description, {"error": error})
        if status in (429, 503):
            responses[str(status)]["headers"]["Retry-After"] = {
                "description": "Seconds after which another try may succeed.",
                "schema": {"type": "integer", "minimum": 1},
            }
        if status == 405:
            responses[str(status)]["headers"]["Allow"] = {"schema": {"type": "string"}}
    return responses


def _version() -> str:
    try:
        return version("champion")
    except PackageNotFoundError:  # inside a bento, which carries the source and not the package
        return "0"
