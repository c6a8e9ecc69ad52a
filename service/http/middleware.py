"""The ASGI middleware that answers every request, errors included.

BentoML runs the process; requests do not reach its router, whose errors have three other shapes. A request gets an id,
is routed, is checked for a key, is answered, and is counted and logged by its route, never by its content.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api_keys import scope_of
from service.engine import Engine
from service.errors import ServiceError, UnknownPath, WrongMethod
from service.http.connection import Exchange, exchange_of
from service.http.hosts import Cors, HostCheck
from service.http.pages import Handler
from service.http.routes import Routes, Table, route_of
from service.http.statuses import CLIENT_DISCONNECTED, error_response
from service.settings import PREFIX
from stores.random_hex import random_hex

logger = logging.getLogger(__name__)

_VALID_ID = re.compile(r"[0-9A-Za-z._:/+=-]{1,64}")
_PROBE_ROUTES = frozenset({"/livez", "/healthz", "/readyz", "/metrics"})
"""Requested every few seconds by probes: logged at DEBUG."""
_UNKNOWN_ROUTE = "other"
_MAX_PREFIX = 200
_PIECE = 64 * 1024
"""Bytes of a response that are sent before the client has read the previous ones."""
_SECURITY_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
)
"""Of every response that does not set others."""


class HttpMiddleware:
    """The middleware.

    Args:
        app: BentoML's application, which gets the lifespan events only.
        engine: returns the engine; called at the first request.
        direct: whether no other middleware is around this one. Small answers are then written to the connection at
            once; BentoML's middleware waits for the messages of each answer.
    """

    def __init__(self, app: ASGIApp, engine: Callable[[], Engine], *, direct: bool = False) -> None:
        self._direct = direct
        self._app = app
        self._get_engine = engine
        self._engine: Engine | None = None
        self._table: Table = {}
        self._allowed: dict[str, str] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one ASGI event."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._engine is None:
            self._start(self._get_engine())
        assert self._engine is not None
        request = Request(scope, receive)
        state = request.state
        state.request_id = _request_id(request)
        state.route = None
        started = time.perf_counter()
        exchange = exchange_of(scope)
        self._engine.metrics.in_progress.inc()
        response: Response | None = None
        try:
            response = await self._response(request, self._engine, exchange)
            if response.status_code != CLIENT_DISCONNECTED:
                # The rest of a request that is not complete is not read.
                keep_alive = exchange is None or exchange.complete
                if (
                    not self._direct
                    or exchange is None
                    or len(response.body) > _PIECE
                    or not exchange.respond(
                        response.status_code,
                        response.raw_headers,
                        bytes(response.body),
                        keep_alive=keep_alive,
                    )
                ):
                    await _send(response, request.method, send, keep_alive=keep_alive)
        finally:
            if (lease := getattr(state, "lease", None)) is not None:
                lease.release()
            self._engine.metrics.in_progress.dec()
            self._record(request, response, time.perf_counter() - started)

    def _start(self, engine: Engine) -> None:
        settings = engine.settings
        self._hosts = HostCheck(settings.hosts, needs_key=settings.needs_key)
        self._cors = Cors(settings.origins)
        self._root_path = settings.root_path or ""
        self._table = Routes(engine).table()
        self._allowed = {path: _methods(handlers) for path, handlers in self._table.items()}
        self._engine = engine

    async def _response(self, request: Request, engine: Engine, exchange: Exchange | None) -> Response:
        allowed = ""
        try:
            if exchange is not None and exchange.refusal is not None:
                raise exchange.refusal
            self._hosts.check(request.scope)
            if self._root_path and request.scope["path"] == self._root_path:
                # The pages' relative addresses need the slash.
                response = Response(status_code=307, headers={"Location": f"{self._root_path}/"})
            else:
                path, allowed = self._route(request)
                response = await self._answer(request, engine, path, allowed)
            if exchange is not None and exchange.refusal is not None:
                raise exchange.refusal  # detected while a body arrived that the route does not read
        except Exception as error:
            request.state.error = error.code if isinstance(error, ServiceError) else ServiceError.code
            response = error_response(error, request.state.request_id)
            if response.status_code == 500:
                logger.exception("request_failed", extra={"fields": {"request_id": request.state.request_id}})
        given = {name for name, _ in response.raw_headers}
        response.raw_headers += [header for header in _SECURITY_HEADERS if header[0] not in given]
        response.raw_headers.append((b"x-request-id", request.state.request_id.encode("latin-1")))
        if self._cors.origins:
            self._cors.add(request, response.headers, allowed)
        return response

    async def _answer(self, request: Request, engine: Engine, path: str, allowed: str) -> Response:
        methods = self._table[path]
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": allowed})
        method = "GET" if request.method == "HEAD" else request.method
        if method not in methods:
            raise WrongMethod(f"this path does not take this method; it takes {allowed}", allowed=allowed)
        if (scope := scope_of(path)) is not None:
            engine.keys.admit(request, scope)
        return await methods[method](request)

    def _route(self, request: Request) -> tuple[str, str]:
        """The route of the request and its allowed methods; raises UnknownPath."""
        path = request.scope["path"]
        prefix = self._root_path or _forwarded_prefix(request)
        if prefix and path.startswith(prefix + "/"):
            path = path[len(prefix) :]
        path = route_of(path)
        if path not in self._table:
            raise UnknownPath("there is nothing at this path; the page at / lists every route")
        request.state.route = path
        return path, self._allowed[path]

    def _record(self, request: Request, response: Response | None, seconds: float) -> None:
        """Count and log the request."""
        assert self._engine is not None, "this is a bug: a request was answered before the engine was there"
        status = response.status_code if response else CLIENT_DISCONNECTED
        state = request.state
        route = state.route or _UNKNOWN_ROUTE
        self._engine.metrics.request(route, status, seconds)
        facts = {
            name: value
            for name in ("texts", "version", "source", "key_name", "error")
            if (value := getattr(state, name, None)) is not None
        }
        if self._engine.tracing is not None and route not in _PROBE_ROUTES:
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
        level = logging.DEBUG if route in _PROBE_ROUTES else logging.INFO
        if not logger.isEnabledFor(level):
            return
        fields = {
            "request_id": state.request_id,
            "method": request.method,
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 2),
            **facts,
        }
        # Not `logger.log`, which looks for the line of code that called it.
        record = logging.LogRecord(logger.name, level, "", 0, "request", None, None)
        record.fields = fields
        logger.handle(record)


def _methods(handlers: Mapping[str, Handler]) -> str:
    """The methods of a path, as `Allow` lists them."""
    return ", ".join([*handlers, *(["HEAD"] if "GET" in handlers else []), "OPTIONS"])


def _request_id(request: Request) -> str:
    """The client's id if it is valid, else a new one."""
    given = request.headers.get("x-request-id", "")
    return given if _VALID_ID.fullmatch(given) else random_hex()


def _forwarded_prefix(request: Request) -> str:
    """The value of X-Forwarded-Prefix if it is a valid path, else an empty string.

    It is removed from the address to find the route, and is never repeated in an answer.
    """
    given = request.headers.get("x-forwarded-prefix", "").rstrip("/")
    return given if len(given) <= _MAX_PREFIX and PREFIX.fullmatch(given) else ""


async def _send(response: Response, method: str, send: Send, *, keep_alive: bool) -> None:
    """Send a response in pieces, so that a client that does not read holds one piece and not the whole."""
    if not keep_alive:
        response.headers["Connection"] = "close"
    await send(
        {"type": "http.response.start", "status": response.status_code, "headers": response.raw_headers}
    )
    body = b"" if method == "HEAD" else bytes(response.body)
    for start in range(0, max(1, len(body)), _PIECE):
        last = start + _PIECE >= len(body)
        await send(
            {"type": "http.response.body", "body": body[start : start + _PIECE], "more_body": not last}
        )
