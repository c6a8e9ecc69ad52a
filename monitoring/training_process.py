"""Run a training as a child process that ends when its parent stops waiting."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO

GRACE = 10.0
"""Seconds that a training has to end by itself before it is killed."""
_LOOK_AGAIN = 0.1
_LONGEST_ERROR = 4000
"""Bytes of a failed trial's standard error that are repeated."""
_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def record_termination_signals() -> Iterator[list[int]]:
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


def first_error(
    arguments: Sequence[str], environment: Mapping[str, str], received_signals: Sequence[int]
) -> str | None:
    """Run `python ARGUMENTS`, silently; what it says on standard error where it fails, on one line.

    None where it ends well, and where it was ended because `received_signals` holds something.
    """
    with tempfile.TemporaryFile() as said:
        status = run_training(
            arguments, environment, received_signals, stdout=subprocess.DEVNULL, stderr=said
        )
        if status in (0, None):
            return None
        said.seek(max(0, said.seek(0, os.SEEK_END) - _LONGEST_ERROR))
        words = " ".join(said.read().decode(errors="replace").split())
    return words.rpartition("error: ")[2] or f"the training ended with status {status}"


def run_training(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    received_signals: Sequence[int],
    *,
    grace: float = GRACE,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
) -> int | None:
    """Run `python ARGUMENTS` to its end, or until `received_signals` holds something.

    It leads a process group, which is ended as a whole: SIGTERM, and SIGKILL after `grace` seconds or at the second
    received signal. Its standard output is redirected to standard error, because the check may write JSON to standard
    output.

    Returns:
        Its exit status; None where it was ended.
    """
    process = subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        stdout=sys.stderr if stdout is None else stdout,
        stderr=stderr,
        start_new_session=True,
    )
    try:
        while (status := process.poll()) is None and not received_signals:
            time.sleep(_LOOK_AGAIN)
        return status
    finally:
        if process.poll() is None:
            _end(process, received_signals, grace)


def _end(process: subprocess.Popen[bytes], received_signals: Sequence[int], grace: float) -> None:
    os.killpg(process.pid, signal.SIGTERM)
    patience = time.monotonic() + grace
    while process.poll() is None and time.monotonic() < patience and len(received_signals) < 2:
        time.sleep(_LOOK_AGAIN)
    with suppress(ProcessLookupError):  # it and all that it started have ended
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
