"""The HTTP face as one ASGI middleware: every request comes in here, and every answer, errors too, leaves here.

BentoML runs the process; the requests never reach its router, whose errors have three other shapes. A request gets an
id, is routed, is checked for a key, is answered, and is counted and logged by its route, never by what it says.
"""

from __future__ import annotations

import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.engine import Engine
from service.errors import NotAuthorised, ServiceError, UnknownPath, WrongMethod
from service.routes import Routes, Table
from service.statuses import CLIENT_GONE, error_response

logger = logging.getLogger(__name__)

_SANE_ID = re.compile(r"[0-9A-Za-z._:/+=-]{1,64}")
_PROTECTED = frozenset({"/classify", "/feedback", "/model"})
"""Probes, metrics and pages are open: orchestrators, Prometheus and browsers come without a key."""
_QUIET = frozenset({"/livez", "/healthz", "/readyz", "/metrics"})
"""Asked every few seconds by machines: logged at DEBUG."""
_UNKNOWN_ROUTE = "other"


class Face:
    """The middleware.

    Args:
        app: BentoML's application; it gets the life cycle, and no request.
        engine: gives the engine; called at the first request, when the service has been started.
    """

    def __init__(self, app: ASGIApp, engine: Callable[[], Engine]) -> None:
        self._app = app
        self._find_engine = engine
        self._engine: Engine | None = None
        self._table: Table = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, as ASGI has it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._engine is None:
            self._engine = self._find_engine()
            self._table = Routes(self._engine).table()
        request = Request(scope, receive)
        request.state.request_id = _request_id(request)
        started = time.perf_counter()
        self._engine.metrics.in_progress.inc()
        response: Response | None = None
        try:
            response = await self._response(request, self._engine)
            if response.status_code != CLIENT_GONE:
                await response(scope, receive, send)
        finally:
            self._engine.metrics.in_progress.dec()
            self._note(request, response, time.perf_counter() - started)

    async def _response(self, request: Request, engine: Engine) -> Response:
        try:
            methods = self._table.get(request.url.path)
            if methods is None:
                raise UnknownPath("there is nothing at this path; the page at / lists every route")
            method = "GET" if request.method == "HEAD" else request.method
            if method not in methods:
                allowed = ", ".join(methods) + (", HEAD" if "GET" in methods else "")
                raise WrongMethod(f"this path does not take this method; it takes {allowed}", allowed=allowed)
            if engine.settings.keys and request.url.path in _PROTECTED:
                check_key(request, engine.settings.keys)
            response = await methods[method](request)
        except Exception as error:
            request.state.error = error.code if isinstance(error, ServiceError) else ServiceError.code
            response = error_response(error, request.state.request_id)
            if response.status_code == 500:
                logger.exception("request_failed", extra={"fields": {"request_id": request.state.request_id}})
        response.headers["X-Request-Id"] = request.state.request_id
        return response

    def _note(self, request: Request, response: Response | None, seconds: float) -> None:
        """Count the request, and log it."""
        assert self._engine is not None, "this is a bug: a request was answered before the engine was there"
        status = response.status_code if response else CLIENT_GONE
        route = request.url.path if request.url.path in self._table else _UNKNOWN_ROUTE
        self._engine.metrics.request(route, status, seconds)
        facts = {
            name: value
            for name in ("texts", "version", "error")
            if (value := getattr(request.state, name, None)) is not None
        }
        if self._engine.tracing is not None and route not in _QUIET:
            self._engine.tracing.request(
                request.method,
                route,
                status,
                seconds,
                headers=request.headers,
                request_id=request.state.request_id,
                stages=getattr(request.state, "stages", None),
                facts=facts,
            )
        level = logging.DEBUG if route in _QUIET else logging.INFO
        if not logger.isEnabledFor(level):
            return
        fields = {
            "request_id": request.state.request_id,
            "method": request.method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 2),
            **facts,
        }
        logger.log(level, "request", extra={"fields": fields})


def check_key(request: Request, keys: Sequence[bytes]) -> None:
    """Raise NotAuthorised unless the request carries one of `keys`, as `Authorization: Bearer` or `X-API-Key`."""
    given = request.headers.get("x-api-key", "")
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        given = given or token.strip()
    candidate = given.encode("latin-1")  # headers come decoded as Latin-1: these are the bytes that were sent
    # Every key is compared, in constant time, so that the time tells nothing.
    if not sum(hmac.compare_digest(candidate, key) for key in keys):
        raise NotAuthorised("a key is needed: send it as `Authorization: Bearer KEY` or `X-API-Key: KEY`")


def _request_id(request: Request) -> str:
    """The client's id if it is a sane one, or else a new one."""
    given = request.headers.get("x-request-id", "")
    return given if _SANE_ID.fullmatch(given) else secrets.token_hex(8)
