"""Runs drills, each in a separate process that is killed with its children at its time limit."""

from __future__ import annotations

import ctypes
import json
import shutil
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from drills.registry import DRILLS, Bench, Drill
from drills.results import Result

_GRACE_SECONDS = 10.0
"""How long the processes of a drill may take to end."""
_FAULTS = 20
"""Faults that a result keeps."""
_SET_CHILD_SUBREAPER = 36
"""`PR_SET_CHILD_SUBREAPER` of prctl(2)."""


def run_drills(
    drills: Sequence[Drill], folder: Path, *, scale: float, seed: int, report: Callable[[Result], None]
) -> list[Result]:
    """Run drills one after another.

    Args:
        drills: what is run.
        folder: for what they write; each drill's folder is emptied before, and removed when it holds its promise.
        scale: factor on counts and durations.
        seed: of what they draw at random.
        report: called with each result as soon as it is available.
    """
    results = []
    for each in drills:
        results.append(run_drill(each, folder, scale=scale, seed=seed))
        report(results[-1])
    return results


def run_drill(drill: Drill, folder: Path, *, scale: float, seed: int) -> Result:
    """Run one drill in a child process; a drill that raises, dies or takes too long has failed."""
    own = folder / drill.name
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    shared = folder / "shared"
    shared.mkdir(exist_ok=True)
    answer, log = own / "outcome.json", own / "drill.log"
    module = drill.function.__module__
    arguments = [module, drill.name, str(own), str(shared), str(scale), str(seed), str(answer)]
    started = time.time()
    began = time.monotonic()
    with log.open("wb") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        seen = _wait(child, began + drill.limit)
        ended = child.poll() is not None
        _end(seen, child)
    seconds = time.monotonic() - began
    figure, faults = "no figure", []
    if answer.exists():
        found = json.loads(answer.read_text(encoding="utf-8"))
        figure, faults = found["figure"], found["faults"]
    elif ended:
        faults = [f"it ended with {child.returncode} and no outcome: {log}"]
    if not ended:
        faults = [*faults, f"it did not end within {drill.limit:.0f} s and was stopped: {log}"]
    if not faults:
        shutil.rmtree(own, ignore_errors=True)
    return Result(
        name=drill.name,
        promise=drill.promise,
        figure=figure,
        held=not faults,
        faults=tuple(faults[:_FAULTS]),
        seconds=round(seconds, 1),
        scale=scale,
        at=started,
    )


def _wait(child: subprocess.Popen[bytes], until: float) -> dict[int, psutil.Process]:
    """Wait for the child's end or for a moment of `time.monotonic()`; every process that was seen under it."""
    seen: dict[int, psutil.Process] = {}
    while child.poll() is None and time.monotonic() < until:
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(child.pid).children(recursive=True):
                seen.setdefault(process.pid, process)
        with suppress(subprocess.TimeoutExpired):
            child.wait(0.5)
    return seen


def _end(seen: dict[int, psutil.Process], child: subprocess.Popen[bytes]) -> None:
    """Kill the child and what it has left; psutil compares start times, so a reused id is not killed."""
    left = list(seen.values())
    if child.poll() is None:
        with suppress(psutil.NoSuchProcess):
            left += psutil.Process(child.pid).children(recursive=True)
        child.kill()
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, timeout=_GRACE_SECONDS)
    child.wait()


def _adopt_orphans() -> None:
    """Make this process the parent of daemons that its children leave, such as PostgreSQL, so that they are found."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _child(arguments: Sequence[str]) -> None:
    module, name, own, shared, scale, seed, answer = arguments
    _adopt_orphans()
    __import__(module)
    bench = Bench(Path(own), Path(shared), float(scale), int(seed))
    try:
        outcome = DRILLS[name].function(bench)
        figure, faults = outcome.figure, list(outcome.faults)
    except Exception as error:
        traceback.print_exc()
        figure, faults = "no figure", [f"{type(error).__name__}: {str(error)[:2000]}"]
    parts = Path(answer).with_suffix(".part")
    parts.write_text(json.dumps({"figure": figure, "faults": faults}), encoding="utf-8")
    parts.replace(answer)


if __name__ == "__main__":
    _child(sys.argv[1:])
