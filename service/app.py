"""The BentoML service: `bentoml serve` in the root starts it. BentoML runs the process, `service.face` answers.

What BentoML does to each request is switched off where it costs without helping: its access log (ours has the request
id), its spans (no exporter), its metrics (labels without bound, see `service.metrics`) and its time-out, which
would leave the work running.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from types import FrameType

from stores.telemetry import turn_telemetry_off

turn_telemetry_off()
# One worker a container: plain counters in memory, not files shared with every other service of this user.
os.environ.pop("PROMETHEUS_MULTIPROC_DIR", None)

import bentoml  # noqa: E402  after the switches

from service.engine import Engine  # noqa: E402
from service.face import Face  # noqa: E402
from service.json_logs import log_as_json  # noqa: E402
from service.metrics import Metrics  # noqa: E402
from service.settings import ServiceSettings  # noqa: E402
from stores.settings import PredictionSettings, SigningSettings, TrackingSettings  # noqa: E402


@bentoml.service(
    name="champion",
    workers=1,
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
        self.engine = Engine(
            settings, TrackingSettings(), PredictionSettings(), SigningSettings(), Metrics("champion")
        )

    @bentoml.on_startup  # type: ignore[untyped-decorator]
    async def start(self) -> None:
        """Start the engine's threads, and refuse new work for a while before connections close at SIGTERM."""
        # What has been imported by now lives as long as the process. Out of the garbage collector's sight it costs no
        # pauses: a full collection took 100 ms, in which nobody was answered.
        gc.collect()
        gc.freeze()
        self.engine.start()
        drain_on_sigterm(self.engine)

    @bentoml.on_shutdown  # type: ignore[untyped-decorator]
    async def stop(self) -> None:
        """Finish what was accepted."""
        await asyncio.to_thread(self.engine.stop)


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


Champion.add_asgi_middleware(Face, engine=_engine)  # type: ignore[attr-defined]
