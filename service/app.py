"""The BentoML service, started by `bentoml serve`: BentoML runs the process, `service.http.middleware` answers.

These parts of BentoML are switched off for each request: its access log (ours has the request id), its spans (no
exporter), its metrics (unbounded labels, see `service.observability.metrics`) and its time-out, which would leave the
work running. `python -m service serve` starts the same service without BentoML.
"""

from __future__ import annotations

import asyncio
import os
import signal
from types import FrameType

from service.start_checks import enter_working_dir
from service.supervisor import end_with_parent, in_worker, make_supervisor_safe
from stores.settings import private_umask
from stores.telemetry import turn_telemetry_off

turn_telemetry_off()
if in_worker():
    enter_working_dir()  # before settings are read
    end_with_parent()
else:
    make_supervisor_safe()
private_umask()
# One worker a container: plain counters in memory, not files shared with every other service of this user.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)

import bentoml  # noqa: E402  after the switches

from service.engine import Engine  # noqa: E402
from service.http.connection import install  # noqa: E402
from service.http.middleware import HttpMiddleware  # noqa: E402
from service.observability.logs import log_as_json  # noqa: E402
from service.server import begin, end, make_engine  # noqa: E402
from service.settings import ServiceSettings  # noqa: E402


@bentoml.service(
    name="champion",
    workers=1,
    # Only this machine; another address takes `--host` or BENTOML_HOST, and keys (`service.start_checks`).
    http={"host": "127.0.0.1", "port": 3000},
    # Of a bento's container. "custom" keeps BentoML from installing a compiler and git: every package is a wheel.
    image=bentoml.images.Image(base_image="python:3.11-slim-bookworm", distro="custom"),
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
    tracing={"excluded_urls": ".*"},
    # It cannot be switched off. Ours comes first, so that a late request is answered as the contract says.
    traffic={"timeout": ServiceSettings().request_timeout + 30},
)
class Champion:
    """Classifies texts with the registered champion; the routes are described at `/openapi.json`."""

    def __init__(self) -> None:
        settings = ServiceSettings()
        log_as_json(settings.log_level)
        self.engine = make_engine(settings)

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def start(self) -> None:
        """Start the engine's threads, and refuse new work for a while before connections close at SIGTERM."""
        begin(self.engine)
        drain_on_sigterm(self.engine)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def stop(self) -> None:
        """Finish what was accepted."""
        await end(self.engine)


def drain_on_sigterm(engine: Engine) -> None:
    """At SIGTERM, set `engine.draining`, and hand the signal to the server DRAIN_SECONDS later."""
    server_handler = signal.getsignal(signal.SIGTERM)
    loop = asyncio.get_running_loop()

    def hand_over() -> None:
        if callable(server_handler):
            server_handler(signal.SIGTERM, None)

    def drain(_signal: int, _frame: FrameType | None) -> None:
        engine.draining = True
        loop.call_soon_threadsafe(loop.call_later, engine.settings.drain_seconds, hand_over)

    signal.signal(signal.SIGTERM, drain)


def _engine() -> Engine:
    engine: Engine = bentoml.get_current_service().engine
    return engine


install()  # BentoML makes uvicorn's configuration after it has imported this module
Champion.add_asgi_middleware(HttpMiddleware, engine=_engine)  # type: ignore[attr-defined]
