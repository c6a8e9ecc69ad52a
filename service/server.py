"""The engine's life cycle and logs for both hosts, and the host without BentoML: `python -m service serve`.

BentoML's supervisor opens two TCP ports through which any local process runs commands as the service's user, and its
worker outlives it. One process has neither, and the container engine, systemd or Kubernetes restarts it; several have
the parent of `service.workers`.
"""

from __future__ import annotations

import asyncio
import gc
import math
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any, Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from service.engine import Engine
from service.http.connection import BoundedHttpProtocol
from service.http.middleware import HttpMiddleware
from service.observability.logs import log_as_json
from service.observability.metrics import Metrics
from service.settings import ServiceSettings
from stores.settings import PredictionSettings, SigningSettings, TrackingSettings


def make_engine(settings: ServiceSettings) -> Engine:
    """The engine with all settings from the environment; nothing runs yet."""
    return Engine(
        settings,
        TrackingSettings(),
        PredictionSettings(),
        SigningSettings(),
        Metrics("champion", sources=settings.sources),
    )


def begin(engine: Engine) -> None:
    """Start the engine's threads."""
    # Imported objects live as long as the process. Frozen, they do not slow down the garbage collector, whose full
    # collections blocked all requests for 100 ms.
    gc.collect()
    gc.freeze()
    engine.start()


async def end(engine: Engine) -> None:
    """Finish accepted work and stop the engine's threads."""
    await asyncio.to_thread(engine.stop)


class Link(Protocol):
    """The connection of a worker process to the others of its service."""

    async def start(self, engine: Engine) -> None:
        """Called when the engine's threads run, before connections are accepted."""

    async def stop(self) -> None:
        """Called when the engine's threads have ended."""


def application(engine: Engine, siblings: Link | None = None) -> ASGIApp:
    """The service as an ASGI application that needs no BentoML: `HttpMiddleware` answers the requests."""

    @asynccontextmanager
    async def life_cycle(_: Starlette) -> AsyncIterator[None]:
        begin(engine)
        try:
            if siblings is not None:
                await siblings.start(engine)
            yield
        finally:
            await end(engine)
            if siblings is not None:
                await siblings.stop()

    return HttpMiddleware(Starlette(lifespan=life_cycle), engine=lambda: engine, direct=True)


_UNREAD_SECONDS = 2.0
"""At the end, how long a client may take to read what has been answered; its connection is then cut."""
_INTERRUPTED = 128 + signal.SIGINT


def http_protocol() -> type[asyncio.Protocol]:
    """The protocol that reads HTTP from a connection."""
    return BoundedHttpProtocol


def run(bound: socket.socket, settings: ServiceSettings, *, siblings: Link | None = None) -> int:
    """Serve on a bound socket in this process until SIGTERM or Ctrl-C, and return the exit status.

    The first signal drains: new work is refused for DRAIN_SECONDS, then connections close, what was accepted is
    answered, and the status is 0. Ctrl-C after that ends the process at once, with 130.
    """
    log_as_json(settings.log_level)
    engine = make_engine(settings)
    config = uvicorn.Config(
        application(engine, siblings),
        http=http_protocol(),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        workers=1,
        # Every request is answered by then, with 504 if need be.
        timeout_graceful_shutdown=math.ceil(settings.request_timeout) + 1,
    )
    server = Server(config, engine)
    server.run(sockets=[bound])
    return 0


class Server(uvicorn.Server):
    """uvicorn's server, which drains before it stops, and does not wait for clients that read nothing."""

    def __init__(self, config: uvicorn.Config, engine: Engine) -> None:
        super().__init__(config)
        self._engine = engine
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until a signal stops it."""
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, _frame: FrameType | None) -> None:
        """SIGTERM or SIGINT: drain; SIGINT once more: end at once."""
        if self._engine.draining:
            if sig == signal.SIGINT:
                sys.stdout.flush()
                os._exit(_INTERRUPTED)
            return
        self._engine.draining = True
        assert self._loop is not None, "this is a bug: signals are taken before the loop runs"
        self._loop.call_soon_threadsafe(
            self._loop.call_later, self._engine.settings.drain_seconds, self._stop
        )

    def _stop(self) -> None:
        self.should_exit = True

    async def _wait_tasks_to_complete(self) -> None:
        began = time.monotonic()
        while self.server_state.connections or self.server_state.tasks:
            if time.monotonic() - began > _UNREAD_SECONDS:
                for connection in list(self.server_state.connections):
                    _cut_if_unread(connection)
            await asyncio.sleep(0.05)
        for server in self.servers:
            await server.wait_closed()


def _cut_if_unread(connection: Any) -> None:
    """Cut a connection that waits for its client only: no request is being answered, or the answer is not read."""
    answering = connection.cycle is not None and not connection.cycle.response_complete
    if not answering or connection.flow.write_paused:
        connection.transport.abort()
