"""One worker process: `python -m service.workers.worker`, started by `service.workers.parent` only.

Arguments: descriptors of the listening socket and of the channel, number, threads, number of workers, and `first` or
`again`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.signal(signal.SIGINT, lambda *_: sys.exit(128 + signal.SIGINT))

from service.engine import Engine  # noqa: E402  after the handlers
from service.errors import Unavailable  # noqa: E402
from service.observability.aggregation import families_of  # noqa: E402
from service.workers.messages import Channel, Message  # noqa: E402

_REPORT_SECONDS = 1.0
_LOOK_SECONDS = 0.1
_MODEL_SECONDS = 60.0
"""How long a worker that was started again loads a model before it listens without one."""
_METRICS_SECONDS = 5.0


class Siblings:
    """The connection of a worker to the others, through the parent.

    Args:
        end: the worker's end of the channel.
        again: whether the worker is a restarted one: it listens once it has a model, as others answer meanwhile.
    """

    def __init__(self, end: socket.socket, *, again: bool = False) -> None:
        self._end = end
        self._again = again
        self._channel: Channel | None = None
        self._waiting: dict[int, asyncio.Future[str]] = {}
        self._next_id = 0
        self._listening = not again
        self._reported_ready = False
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, engine: Engine) -> None:
        """Connect; called when the engine's threads run, before connections are accepted."""
        self._engine = engine
        self._loop = asyncio.get_running_loop()
        self._channel = await Channel.open(self._end)
        engine.metrics.collect = self.metrics
        engine.on_erased = self._erased
        engine.others_ready = False
        self._tasks = [asyncio.create_task(self._receive()), asyncio.create_task(self._report())]
        until = self._loop.time() + _MODEL_SECONDS
        while (
            self._again
            and engine.champion.served is None
            and not engine.draining
            and self._loop.time() < until
        ):
            await asyncio.sleep(0.05)
        self._listening = True
        await self._send_state()

    async def stop(self) -> None:
        """Report for the last time, and close the connection; called when the engine's threads have ended."""
        for task in self._tasks:
            task.cancel()
        if self._channel is not None:
            await self._send_state()
            await self._channel.drain()
            self._channel.close()

    async def metrics(self) -> bytes:
        """The metrics of all workers.

        Raises:
            Unavailable: the parent does not answer.
        """
        assert self._channel is not None, "this is a bug: metrics before the start"
        self._next_id += 1
        answer: asyncio.Future[str] = self._loop.create_future()
        self._waiting[self._next_id] = answer
        self._channel.send({"kind": "metrics", "id": self._next_id})
        try:
            async with asyncio.timeout(_METRICS_SECONDS):
                return (await answer).encode()
        except TimeoutError:
            raise Unavailable("the metrics of the workers cannot be read: try again") from None
        finally:
            del self._waiting[self._next_id]

    @property
    def _ready(self) -> bool:
        """Whether it would answer, or is stopping."""
        return self._engine.ready or self._engine.draining

    def _erased(self) -> None:
        """A prediction was erased by this worker; called from any thread."""
        self._loop.call_soon_threadsafe(self._send, {"kind": "forget"})

    def _send(self, message: Message) -> None:
        if self._channel is not None:
            self._channel.send(message)

    async def _send_state(self) -> None:
        families = await asyncio.to_thread(families_of, self._engine.metrics.registry)
        engine = self._engine
        self._reported_ready = self._ready
        alive = engine.alive or engine.draining  # one that stops is not stuck
        state = {"alive": alive, "ready": self._reported_ready, "listens": self._listening}
        self._send({"kind": "state", **state, "families": families})

    async def _report(self) -> None:
        while True:
            await self._send_state()
            until = self._loop.time() + _REPORT_SECONDS
            while self._loop.time() < until and self._ready == self._reported_ready:
                await asyncio.sleep(_LOOK_SECONDS)

    async def _receive(self) -> None:
        assert self._channel is not None
        while (message := await self._channel.receive()) is not None:
            match message["kind"]:
                case "samples":
                    families = await asyncio.to_thread(families_of, self._engine.metrics.registry)
                    self._send({"kind": "samples", "id": message["id"], "families": families})
                case "metrics":
                    answer = self._waiting.get(message["id"])
                    if answer is not None and not answer.done():
                        answer.set_result(message["text"])
                case "ready":
                    self._engine.others_ready = message["all"]
                case "forget":
                    self._engine.forget_answers()
        os.kill(os.getpid(), signal.SIGTERM)  # the parent has ended


def main() -> None:
    """Serve until SIGTERM."""
    listening, channel, _number, threads, count = map(int, sys.argv[1:6])
    # Of the process, so that every settings object agrees.
    os.environ["THREADS"] = str(threads)
    from service.server import run
    from service.settings import ServiceSettings
    from service.supervisor import end_with_parent
    from stores.settings import PredictionSettings, private_umask
    from stores.telemetry import turn_telemetry_off

    end_with_parent()
    private_umask()
    turn_telemetry_off()
    spool = PredictionSettings().predictions_spool_bytes // count
    os.environ["PREDICTIONS_SPOOL_BYTES"] = str(max(1024 * 1024, spool))
    siblings = Siblings(socket.socket(fileno=channel), again=sys.argv[6] == "again")
    sys.exit(run(socket.socket(fileno=listening), ServiceSettings(), siblings=siblings))


if __name__ == "__main__":
    main()
