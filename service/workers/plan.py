"""How many worker processes there are, and which part of the cores each computes with."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from service.settings import ServiceSettings

CORES_PER_WORKER = 2
"""Of WORKERS=auto: one process keeps about one core busy with HTTP, JSON and the log, and the model another."""
BYTES_PER_WORKER = 1024**3
"""Of WORKERS=auto: about 300 MiB at rest with a small network, and the 512 MiB of docs/serving.md under load."""
_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Plan:
    """The worker processes of one service."""

    threads: tuple[int, ...]
    """Of each worker."""

    @property
    def count(self) -> int:
        """Number of workers."""
        return len(self.threads)


def plan(settings: ServiceSettings, *, memory: int | None = None) -> Plan:
    """The workers that WORKERS asks for, with the threads divided among them; each has at least one.

    `auto` is one worker for each two threads, as far as memory allows. With DEVICE=cuda it is one: each worker would
    load the model onto the GPU.

    Args:
        settings: WORKERS, THREADS and DEVICE.
        memory: bytes that all workers may use; None: what the machine and the control group allow.
    """
    cores = settings.cores
    if isinstance(settings.workers, int):
        count = settings.workers
    elif settings.device == "cuda":
        count = 1
    else:
        by_memory = (memory_limit() if memory is None else memory) // BYTES_PER_WORKER
        count = max(1, min(cores // CORES_PER_WORKER, by_memory))
    share, left = divmod(cores, count)
    return Plan(tuple(max(1, share + (number < left)) for number in range(count)))


def memory_limit() -> int:
    """Bytes that this process and its children may use: the machine's memory, or the smallest limit of a group."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    if sys.platform == "linux":
        limits += _cgroup_limits()
    return min(limits)


def _cgroup_limits() -> list[int]:
    """The limits of the control groups (version 2, or 1) that this process is in."""
    files = [_CGROUP / "memory" / "memory.limit_in_bytes"]
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines():
            if line.startswith("0::/"):
                own = _CGROUP / line.removeprefix("0::/")
                files += [
                    folder / "memory.max" for folder in (own, *own.parents) if folder.is_relative_to(_CGROUP)
                ]
    limits = []
    for file in files:
        with suppress(OSError, ValueError):  # `max` is no number
            limits.append(int(file.read_text(encoding="utf-8")))
    return limits
