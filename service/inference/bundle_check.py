"""Check a bundle in a child process first, so that one that hangs, fills the memory or crashes stops no service.

The child verifies the bundle, loads it, classifies the golden texts with each file that may be run, and exits. It has
limits of time and memory, and is killed with its parent. A mark file in the cache keeps a restart with the same
libraries from checking a bundle again.

Usage::

    check_bundle(folder, CheckLimits(seconds=60, memory=4 * 2**30), stopping=event.is_set)
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from classifier import BundleDamaged, BundleError, ClassifierError, errors
from classifier.device import Device
from classifier.golden import read_golden
from classifier.manifest import MANIFEST_FILE, library_versions, sha256_of
from classifier.precision import FLOAT32_FILE, INT8_FILE, Precision

if TYPE_CHECKING:  # the child process does without pydantic
    from service.settings import ServiceSettings

_PDEATHSIG = 1
_POLL = 0.02
_MOST_OUTPUT = 2000
_GRACE = 5
"""Seconds after which the child exits if the parent has not killed it."""


class CheckFailed(BundleError):
    """A bundle exceeded a limit or crashed the process in which it was tried."""


class CheckStopped(ClassifierError):
    """The service is stopping; the check was not completed."""


@dataclass(frozen=True, slots=True)
class CheckLimits:
    """Limits of a check."""

    seconds: float = 120.0
    memory: int = 4 * 2**30
    """Bytes of data (RLIMIT_DATA); not applied on a GPU, whose driver reserves more."""

    @classmethod
    def of(cls, settings: ServiceSettings) -> CheckLimits | None:
        """The limits in the settings; None: bundles are not checked in a child process."""
        seconds = settings.model_check_seconds
        return cls(seconds, settings.model_check_bytes) if seconds else None


def check_bundle(
    folder: Path,
    limits: CheckLimits,
    *,
    precision: Precision = "auto",
    device: Device = "auto",
    marks: Path | None = None,
    low_priority: bool = False,
    stopping: Callable[[], bool] = lambda: False,
) -> None:
    """Check a bundle in a child process.

    Args:
        folder: the bundle; its signature is not checked here.
        limits: of time and memory.
        precision: which of its files may be run.
        device: where the service will run it.
        marks: folder of the marks of checked bundles; None: check every time.
        low_priority: run at low priority, since requests are answered meanwhile.
        stopping: polled; once it returns True, the child is killed.

    Raises:
        BundleError: the bundle is refused; CheckFailed: it exceeded a limit or crashed.
        CheckStopped: `stopping` returned True.
    """
    mark = _mark(folder, marks, precision, device)
    if mark is not None and mark.is_file():
        return
    arguments = json.dumps(
        [
            str(folder.absolute()),
            os.getpid(),
            limits.seconds + _GRACE,
            limits.memory,
            precision,
            device,
            low_priority,
        ]
    )
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            [sys.executable, "-m", __name__, arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=log,
            cwd=Path(__file__).parents[2],
        )
        try:
            status = _wait(child, folder, limits, stopping)
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
        _raise_refusal(_end_of(output), _end_of(log), status, folder, limits)
    if mark is not None:
        with suppress(OSError):  # it is checked again next time
            mark.touch()


def _wait(
    child: subprocess.Popen[bytes], folder: Path, limits: CheckLimits, stopping: Callable[[], bool]
) -> int:
    give_up = time.monotonic() + limits.seconds
    while True:
        try:
            return child.wait(_POLL)
        except subprocess.TimeoutExpired:
            if stopping():
                raise CheckStopped("the service is stopping") from None
            if time.monotonic() >= give_up:
                raise CheckFailed(
                    f"{folder} was not loaded, or its golden texts were not classified, within {limits.seconds:g} s "
                    "(MODEL_CHECK_SECONDS)"
                ) from None


def _raise_refusal(output: str, log: str, status: int, folder: Path, limits: CheckLimits) -> None:
    try:
        found = json.loads(output.rpartition("\n")[2] or output)
        name, message = str(found["error"]), str(found["message"])
    except (ValueError, KeyError, TypeError):
        name, message = "", ""
    if status == 0 and name == "":
        return
    memory = f"{limits.memory / 2**20:,.0f} MiB (MODEL_CHECK_BYTES)"
    if name == "MemoryError" or "bad_alloc" in message + log or "Failed to allocate memory" in message:
        raise CheckFailed(f"{folder} needs more memory than {memory}")
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, ClassifierError):
        raise kind(message)
    if name:
        raise BundleDamaged(f"{folder} cannot be loaded: {name}: {message}")
    ended = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
    raise CheckFailed(
        f"loading {folder} ended its process with {ended}: {log.strip()[-300:] or 'no message'}"
    )


def _mark(folder: Path, marks: Path | None, precision: Precision, device: Device) -> Path | None:
    manifest = folder / MANIFEST_FILE
    if marks is None or not manifest.is_file():
        return None
    facts = [sha256_of(manifest), precision, device, library_versions()]
    return marks / f"checked-{hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]}"


def _end_of(file: object) -> str:
    size = file.seek(0, os.SEEK_END)  # type: ignore[attr-defined]
    file.seek(max(0, size - _MOST_OUTPUT))  # type: ignore[attr-defined]
    return str(file.read().decode("utf-8", "replace"))  # type: ignore[attr-defined]


# -- in the child -------------------------------------------------------------------------------------------------


def _main() -> None:
    folder, parent, seconds, memory, precision, device, low_priority = json.loads(sys.argv[1])
    if low_priority:
        os.nice(5)
    import onnxruntime

    on_gpu = device != "cpu" and "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    _limit(parent, seconds, None if on_gpu else memory)
    try:
        _try(Path(folder), precision, device)
    except MemoryError:
        found = {"error": "MemoryError", "message": ""}
    except Exception as error:
        found = {"error": type(error).__name__, "message": str(error)[:1000]}
    else:
        return
    print("\n" + json.dumps(found), end="", flush=True)
    os._exit(1)  # do not wait for threads of a library


def _limit(parent: int, seconds: float, memory: int | None) -> None:
    """Limit memory, and exit with the parent or after `seconds`, also in native code."""
    with suppress(OSError, AttributeError):  # Linux only
        ctypes.CDLL(None).prctl(_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # the parent is dead already
        os._exit(1)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    if memory is not None:
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        wanted = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (wanted, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _try(folder: Path, precision: Precision, device: Device) -> None:
    """Load `folder` and classify its golden texts with every file that `precision` may choose.

    The answers of int8 are compared in `classifier.precision`; here it only has to finish.
    """
    from classifier import Classifier

    bundle = Classifier.load(folder, golden=False, device=device)
    if precision != "int8" or bundle.sealed_file != FLOAT32_FILE:
        bundle.check_golden()
    if bundle.sealed_file in (FLOAT32_FILE, INT8_FILE):
        for name in (FLOAT32_FILE, INT8_FILE):
            if name != bundle.sealed_file and name in bundle.manifest["files"]:
                bundle.beside(name, device=device).predict(read_golden(folder)[0])


if __name__ == "__main__":
    _main()
