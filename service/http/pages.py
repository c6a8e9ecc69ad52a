"""The pages `/` (the API as Swagger UI) and `/ui`, and the descriptions of the API; no file comes from the internet.

BentoML's page at `/` reports each visitor to a third party. Ours uses the Swagger UI files that BentoML's package
carries, and a content security policy that lets a browser talk to this host only.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import bentoml
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from service.answers import ClassifyAnswer, FeedbackAnswer
from service.requests import ClassifyRequest, FeedbackRequest

Handler = Callable[[Request], Awaitable[Response]]

_UI = Path(__file__).with_name("ui")
_OPENAPI = Path(__file__).with_name("openapi.json")
"""Checked in; `python -m tests.support.openapi` updates its schemas, and a test holds it against the code."""
_SWAGGER = Path(bentoml.__file__).parent / "_internal" / "server" / "static_content"
_SWAGGER_FILES = ("swagger-ui.css", "swagger-ui-bundle.js")
_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

_CALLS: tuple[tuple[str, str, type[BaseModel], type[BaseModel]], ...] = (
    ("classify", "Classify one text or a list of them.", ClassifyRequest, ClassifyAnswer),
    ("feedback", "Send true labels.", FeedbackRequest, FeedbackAnswer),
)
"""Name, summary, request and answer of the calls that BentoML's clients make."""


def pages() -> dict[str, Handler]:
    """Path → handler of every page and asset."""
    files = {
        "/": _UI / "api.html",
        "/ui": _UI / "index.html",
        **{f"/ui/{path.name}": path for path in sorted(_UI.iterdir()) if path.suffix != ".html"},
        **{f"/ui/{name}": _SWAGGER / name for name in _SWAGGER_FILES},
    }
    description = _OPENAPI.read_bytes()
    handlers = {path: _constant(file.read_bytes(), _type_of(file)) for path, file in files.items()}
    for path in ("/openapi.json", "/docs.json"):  # the second is where BentoML has it
        handlers[path] = _constant(description, "application/json")
    handlers["/schema.json"] = _constant(json.dumps(bentoml_schema()).encode(), "application/json")
    return handlers


def bentoml_schema() -> dict[str, Any]:
    """The description at `/schema.json` that BentoML's clients read, in the format of BentoML's `Service.schema()`.

    Usage::

        with bentoml.SyncHTTPClient("http://127.0.0.1:3000", token=KEY) as client:
            client.classify(text="Shares in London fell sharply.")["predictions"][0]["label"]
    """
    return {
        "name": "champion",
        "type": "service",
        "routes": [
            {
                "name": name,
                "route": f"/{name}",
                "doc": doc,
                "input": takes.model_json_schema(),
                "output": gives.model_json_schema(mode="serialization"),
            }
            for name, doc, takes, gives in _CALLS
        ],
        "paths": {f"/{name}": {"mounted": False} for name, *_ in _CALLS},
    }


def _constant(content: bytes, media_type: str) -> Handler:
    async def answer(_request: Request) -> Response:
        return Response(content, media_type=media_type, headers=dict(_HEADERS))

    return answer


def _type_of(file: Path) -> str:
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return "text/javascript" if file.suffix == ".js" else kind
