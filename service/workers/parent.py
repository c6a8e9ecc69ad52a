"""The parent of the worker processes: starts them, restarts those that end, hands signals on, adds up their metrics.

It answers no requests and loads no model. Each worker listens on a separate socket with SO_REUSEPORT, among which the
kernel divides new connections; a worker that has ended gets none. (Where the kernel does not divide them, all workers
listen on one socket.) The parent keeps a socket that is bound and does not listen, so that the port stays taken.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from service.observability.aggregation import Family, MetricsSum, exposition, gauge_family
from service.settings import ServiceSettings
from service.start_checks import CONFIGURATION_ERROR
from service.workers.messages import Channel, Message
from service.workers.plan import Plan

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
"""Seconds before a worker that ended is started again; doubled each time, until it has lived for _STEADY."""
_STEADY = 60.0
_FAILED_STARTS = 3
"""Workers in a row that end before they answer: the service cannot run, and the parent ends."""
_SAMPLES_SECONDS = 2.0
"""How long a worker may take to report its metrics; its last report is used then."""
_LOOK_SECONDS = 1.0
_START_SECONDS = 120.0
"""Time until the first report of a worker."""
_TERM_SECONDS = 10.0
"""How long a worker that is stuck may take to end; it is then killed."""
_KILLED = 128 + signal.SIGINT


@dataclass(slots=True)
class _Worker:
    number: int
    threads: int
    process: asyncio.subprocess.Process | None = None
    channel: Channel | None = None
    began: float = 0.0
    reported: float | None = None
    """`time.monotonic()` of its last report; None: it has not answered yet."""
    alive: bool = True
    ready: bool = False
    listens: bool = False
    """Whether it takes connections, at its last report."""
    first: bool = True
    """Whether it has not been started again: it takes connections before it is ready, so that `/livez` answers."""
    families: list[Family] = field(default_factory=list)
    """Its metrics at its last report."""
    asked: dict[int, asyncio.Future[None]] = field(default_factory=dict)

    def signal(self, number: int) -> None:
        if self.process is not None and self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(number)


class Parent:
    """The parent process.

    Args:
        bound: the socket of the service's address, which does not listen; one that the workers share if the kernel
            does not divide connections.
        settings: of the service.
        plan: how many workers, and their threads.
    """

    def __init__(self, bound: socket.socket, settings: ServiceSettings, plan: Plan) -> None:
        self._bound = bound
        self._settings = settings
        self._workers = [_Worker(number, threads) for number, threads in enumerate(plan.threads, start=1)]
        self._ended = MetricsSum()
        """Of workers that have ended."""
        self._restarts = 0
        self._failed_starts = 0
        self._status = 0
        self._next_id = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> int:
        """Run until SIGTERM or Ctrl-C, and return the exit status.

        The first signal drains: every worker gets SIGTERM and finishes what it accepted; the status is 0. Ctrl-C after
        that kills the workers; the status is 130. It is 78 where a worker refuses its configuration, and 1 where none
        can be started.
        """
        self._stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        divided = sys.platform == "linux"
        if divided:
            # After `bind`, which would otherwise join another service of this user on the same port.
            self._bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        watching = asyncio.create_task(self._watch())
        listener = self._new_listener if divided else self._bound.dup
        await asyncio.gather(*(self._keep(worker, listener) for worker in self._workers))
        watching.cancel()
        return self._status

    # -- signals --------------------------------------------------------------------------------------------------

    def _stop(self, status: int = 0) -> None:
        if self._stopping.is_set():
            return
        self._status = status
        self._stopping.set()
        for worker in self._workers:
            worker.signal(signal.SIGTERM)

    def _interrupt(self) -> None:
        if not self._stopping.is_set():
            self._stop()
            return
        self._status = _KILLED
        for worker in self._workers:
            worker.signal(signal.SIGKILL)

    # -- one worker -----------------------------------------------------------------------------------------------

    async def _keep(self, worker: _Worker, listener: Callable[[], socket.socket]) -> None:
        """Run a worker, and start it again when it ends, until the service stops."""
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            status = await self._run(worker, listener)
            if self._stopping.is_set():
                if status not in (0, -signal.SIGTERM) and not self._status:
                    self._status = 1
                return
            lived = time.monotonic() - worker.began
            logger.error(
                "worker_ended",
                extra={"fields": {"worker": worker.number, "status": status, "seconds": round(lived, 1)}},
            )
            self._failed_starts = 0 if worker.reported is not None else self._failed_starts + 1
            if status == CONFIGURATION_ERROR:
                self._stop(CONFIGURATION_ERROR)
                return
            if self._failed_starts >= _FAILED_STARTS:
                logger.critical("workers_cannot_start", extra={"fields": {"status": status}})
                self._stop(1)
                return
            pause = _FIRST_PAUSE if lived >= _STEADY else min(2 * pause, _LONGEST_PAUSE)
            self._restarts += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)

    async def _run(self, worker: _Worker, listener: Callable[[], socket.socket]) -> int:
        """Start a worker and wait until it has ended; returns its exit status."""
        ours, theirs = socket.socketpair()
        with listener() as listening, theirs:
            facts = [listening.fileno(), theirs.fileno(), worker.number, worker.threads, len(self._workers)]
            worker.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "service.workers.worker",
                *map(str, facts),
                "first" if worker.first else "again",
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(listening.fileno(), theirs.fileno()),
                start_new_session=True,  # Ctrl-C of a terminal reaches the parent only
            )
        worker.began, worker.reported = time.monotonic(), None
        worker.alive, worker.ready, worker.listens = True, False, False
        worker.channel = await Channel.open(ours)
        if self._stopping.is_set():
            worker.signal(signal.SIGTERM)
        logger.info(
            "worker_started",
            extra={
                "fields": {"worker": worker.number, "process": worker.process.pid, "threads": worker.threads}
            },
        )
        try:
            while (message := await worker.channel.receive()) is not None:
                self._take(worker, message)
            return await worker.process.wait()
        finally:
            worker.channel.close()
            worker.channel = None
            self._ended.add(worker.families, ended=True)
            worker.families, worker.first, worker.listens = [], False, False
            self._tell_ready()
            for asked in worker.asked.values():
                if not asked.done():
                    asked.set_result(None)

    def _take(self, worker: _Worker, message: Message) -> None:
        match message["kind"]:
            case "state" | "samples" as kind:
                worker.reported, worker.families = time.monotonic(), message["families"]
                self._failed_starts = 0
                if kind == "state":
                    worker.alive, worker.ready = message["alive"], message["ready"]
                    worker.listens = message["listens"]
                    self._tell_ready()
                elif (asked := worker.asked.pop(message["id"], None)) is not None and not asked.done():
                    asked.set_result(None)
            case "metrics":
                task = asyncio.create_task(self._answer_metrics(worker, message["id"]))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            case "forget":
                for other in self._workers:
                    if other is not worker and other.channel is not None:
                        other.channel.send(message)
            case kind:
                raise AssertionError(f"this is a bug: an unknown message {kind}")

    # -- all workers ----------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """End workers that are stuck: those whose `/livez` would be red, or that report nothing for STALL_SECONDS."""
        while not self._stopping.is_set():
            await asyncio.sleep(_LOOK_SECONDS)
            for worker in self._workers:
                if worker.channel is None:
                    continue
                last = worker.reported
                silent = time.monotonic() - (worker.began if last is None else last)
                if worker.alive and silent <= (
                    _START_SECONDS if last is None else self._settings.stall_seconds
                ):
                    continue
                logger.error(
                    "worker_stuck", extra={"fields": {"worker": worker.number, "silent": round(silent, 1)}}
                )
                worker.alive, worker.reported = True, time.monotonic() + _TERM_SECONDS
                worker.signal(signal.SIGTERM)
                asyncio.get_running_loop().call_later(_TERM_SECONDS, _kill, worker, worker.process)

    def _tell_ready(self) -> None:
        """Tell every worker whether all that take connections are ready."""
        ready = all(worker.ready for worker in self._workers if worker.first or worker.listens)
        for worker in self._workers:
            if worker.channel is not None:
                worker.channel.send({"kind": "ready", "all": ready})

    async def _answer_metrics(self, asking: _Worker, message_id: int) -> None:
        living = [worker for worker in self._workers if worker.channel is not None]
        answers = []
        for worker in living:
            self._next_id += 1
            answer = asyncio.get_running_loop().create_future()
            worker.asked[self._next_id] = answer
            assert worker.channel is not None
            worker.channel.send({"kind": "samples", "id": self._next_id})
            answers.append(answer)
        await asyncio.wait(answers, timeout=_SAMPLES_SECONDS)
        if asking.channel is not None:
            text = exposition(self.families()).decode()
            asking.channel.send({"kind": "metrics", "id": message_id, "text": text})

    def families(self) -> list[Family]:
        """The metrics of the service, as far as they are known."""
        total = MetricsSum()
        total.add(self._ended.families(), ended=True)
        reporting = [worker for worker in self._workers if worker.reported is not None and worker.families]
        for worker in reporting:
            total.add(worker.families)
        return [
            *total.families(),
            gauge_family(
                "champion_workers",
                "Worker processes that take connections.",
                sum(worker.listens for worker in self._workers),
            ),
            gauge_family(
                "champion_worker_restarts",
                "Worker processes that ended and were started again.",
                self._restarts,
                kind="counter",
            ),
        ]

    def _new_listener(self) -> socket.socket:
        new = socket.socket(self._bound.family, self._bound.type, self._bound.proto)
        try:
            new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if self._bound.family == socket.AF_INET6:
                only = self._bound.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
                new.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
            new.bind(self._bound.getsockname())
        except BaseException:
            new.close()
            raise
        return new


def _kill(worker: _Worker, process: Any) -> None:
    if worker.process is process:
        worker.signal(signal.SIGKILL)


def run(bound: socket.socket, settings: ServiceSettings, plan: Plan) -> int:
    """Serve on a bound socket with several workers until SIGTERM or Ctrl-C, and return the exit status."""
    return asyncio.run(Parent(bound, settings, plan).run())
