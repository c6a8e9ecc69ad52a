"""Waiting for a result until a deadline, or until the client disconnects."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Protocol, TypeVar

from service.errors import ClientDisconnected, DeadlinePassed

Result = TypeVar("Result")


class Connection(Protocol):
    """A client's connection that says when it is lost."""

    lost: bool

    def watch(self, callback: Callable[[], object]) -> None:
        """Call `callback` on the event loop when it is lost."""

    def unwatch(self) -> None:
        """Call nothing any more."""


Disconnected = Callable[[], Awaitable[None]] | Connection
"""Reports when the client has disconnected: a connection, or a function that returns then."""


async def awaited(
    result: Future[Result] | asyncio.Future[Result], deadline: float, disconnected: Disconnected | None
) -> Result:
    """The result; it is cancelled when the deadline passes, the client disconnects, or this task is cancelled.

    Raises:
        DeadlinePassed, ClientDisconnected: instead of a result.
    """
    # One future and a timer: a task for the connection and `asyncio.wait` took longer than the look-up of an answer.
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    if isinstance(result, Future):
        result.add_done_callback(partial(_wake_from_thread, loop, waiter))
    else:
        result.add_done_callback(partial(_wake, waiter))
    timer = loop.call_later(max(0.0, deadline - time.monotonic()), _wake, waiter)
    watcher: asyncio.Future[None] | None = None
    connection: Connection | None = None
    if callable(disconnected):
        watcher = asyncio.ensure_future(disconnected())
        watcher.add_done_callback(partial(_wake, waiter))
    elif disconnected is not None:
        connection = disconnected
        connection.watch(partial(_wake, waiter))
    try:
        await waiter
        if result.done():
            return result.result()
        if (watcher is not None and watcher.done()) or (connection is not None and connection.lost):
            raise ClientDisconnected("the client closed its connection before the answer")
        raise deadline_passed()
    finally:
        timer.cancel()
        result.cancel()
        if watcher is not None:
            watcher.cancel()
        if connection is not None:
            connection.unwatch()


def _wake(waiter: asyncio.Future[None], _done: object = None) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _wake_from_thread(loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None], _done: object) -> None:
    with suppress(RuntimeError):  # the loop has been closed
        loop.call_soon_threadsafe(_wake, waiter)


def deadline_passed() -> DeadlinePassed:
    """The error of a request whose deadline has passed."""
    return DeadlinePassed(
        "the request was not answered within its time: send fewer texts, or allow more time (X-Deadline-Ms, "
        "REQUEST_TIMEOUT)"
    )
