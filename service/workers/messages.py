"""Messages between the parent and one worker: JSON lines over a pair of connected sockets, which has no address.

| kind | from | means |
|---|---|---|
| `state` | worker | whether it is alive and ready, and its metrics; each second, and at the end |
| `ready` | parent | whether every worker that takes connections is ready |
| `samples` | both | the parent asks with an `id`; the worker answers with its metrics |
| `metrics` | both | a worker asks with an `id` for the metrics of all workers; the parent answers with the text |
| `forget` | both | a prediction was erased: every worker clears its cache |
"""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Any, Self

_LINE_BYTES = 64 * 1024**2
"""Longest message: metrics of models with thousands of labels."""

Message = dict[str, Any]


class Channel:
    """One end of the pair. For one event loop; `send` may be called by any of its tasks."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> Self:
        """The channel over a connected socket, which it closes."""
        reader, writer = await asyncio.open_unix_connection(sock=end, limit=_LINE_BYTES)
        return cls(reader, writer)

    def send(self, message: Message) -> None:
        """Send a message; one to a process that has ended is dropped."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")

    async def receive(self) -> Message | None:
        """The next message; None: the other process has ended."""
        try:
            line = await self._reader.readline()
        except (OSError, ValueError):
            return None
        if not line.endswith(b"\n"):
            return None
        message: Message = json.loads(line)
        return message

    async def drain(self) -> None:
        """Wait until what was sent has left this process, or the other one has ended."""
        try:
            await self._writer.drain()
        except OSError:
            return

    def close(self) -> None:
        """Close it."""
        self._writer.close()
