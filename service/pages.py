"""The pages: `/` (the API, as Swagger UI) and `/ui`; every file is served from here, none from the internet.

BentoML's page at `/` reports each visitor to a third party. Ours uses the Swagger UI files that BentoML's package
carries, and a content security policy that lets a browser talk to this host only.
"""

from __future__ import annotations

import json
import mimetypes
from collections.abc import Awaitable, Callable
from pathlib import Path

import bentoml
from starlette.requests import Request
from starlette.responses import Response

from service.openapi import openapi

Handler = Callable[[Request], Awaitable[Response]]

_UI = Path(__file__).with_name("ui")
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


def pages() -> dict[str, Handler]:
    """Path → handler of every page and asset."""
    files = {
        "/": _UI / "api.html",
        "/ui": _UI / "index.html",
        **{f"/ui/{path.name}": path for path in sorted(_UI.iterdir()) if path.suffix != ".html"},
        **{f"/ui/{name}": _SWAGGER / name for name in _SWAGGER_FILES},
    }
    description = json.dumps(openapi(), ensure_ascii=False, indent=1).encode()
    handlers = {path: _constant(file.read_bytes(), _type_of(file)) for path, file in files.items()}
    for path in ("/openapi.json", "/docs.json"):  # the second is where BentoML has it
        handlers[path] = _constant(description, "application/json")
    return handlers


def _constant(content: bytes, media_type: str) -> Handler:
    async def answer(_request: Request) -> Response:
        return Response(content, media_type=media_type, headers=dict(_HEADERS))

    return answer


def _type_of(file: Path) -> str:
    kind = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    return "text/javascript" if file.suffix == ".js" else kind
