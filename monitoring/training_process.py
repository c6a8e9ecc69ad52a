"""The training as a process of its own, which never outlives whoever waits for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress

GRACE = 10.0
"""Seconds that a training has to end by itself before it is killed."""
_LOOK_AGAIN = 0.1
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def signals_noted() -> Iterator[list[int]]:
    """The signals that ask this process to end, in the order in which they come; they are noted and not obeyed.

    What the process was started to ignore (`nohup`, a shell's `&`) stays ignored. For the main thread only.
    """
    noted: list[int] = []
    # A list, not an Event: an Event that its own waiter's handler sets can lock itself out.
    heard = [number for number in _ENDING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda came, _: noted.append(came)) for number in heard}
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_training(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    told_to_end: Sequence[int],
    *,
    grace: float = GRACE,
) -> int | None:
    """Run `python ARGUMENTS` to its end, or until `told_to_end` holds something.

    It leads a process group, which is ended as a whole: SIGTERM, and SIGKILL after `grace` seconds or when
    `told_to_end` holds a second thing. Its standard output goes to standard error: ours belongs to the check, which may
    be writing JSON there.

    Returns:
        Its exit status; None where it was ended.
    """
    process = subprocess.Popen(
        [sys.executable, *arguments], env=environment, stdout=sys.stderr, start_new_session=True
    )
    try:
        while (status := process.poll()) is None and not told_to_end:
            time.sleep(_LOOK_AGAIN)
        return status
    finally:
        if process.poll() is None:
            _end(process, told_to_end, grace)


def _end(process: subprocess.Popen[bytes], told_to_end: Sequence[int], grace: float) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    patience = time.monotonic() + grace
    while process.poll() is None and time.monotonic() < patience and len(told_to_end) < 2:
        time.sleep(_LOOK_AGAIN)
    with suppress(ProcessLookupError):  # it and all that it started have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
