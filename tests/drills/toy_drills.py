"""Small drills for the tests of what runs them; named by module, because each runs in a separate process."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from drills import Bench, Outcome, drill


@drill("toys.holds", promise="A promise | with a bar.", limit=30)
def holds(bench: Bench) -> Outcome:
    return Outcome(f"{bench.count(1000)} of {bench.random().randint(1, 10**9)}, {bench.seconds(100):g} s")


@drill("toys.fails", promise="It does not hold.", limit=30)
def fails(bench: Bench) -> Outcome:
    (bench.folder / "evidence").write_text("kept")
    return Outcome("2 tried", ["the second was lost"] * 50)


@drill("toys.raises", promise="It raises.", limit=30)
def raises(bench: Bench) -> Outcome:
    raise LookupError("no such thing")


@drill("toys.dies", promise="Its process dies.", limit=30)
def dies(bench: Bench) -> Outcome:
    os._exit(7)


@drill("toys.hangs", promise="It does not end.", limit=2)
def hangs(bench: Bench) -> Outcome:
    # In a session of its own, as servers are, and left by its parent.
    sleep = "[sys.executable, '-c', 'import time; time.sleep(99)', sys.argv[1]]"
    code = f"import subprocess, sys; subprocess.Popen({sleep}, start_new_session=True)"
    subprocess.run([sys.executable, "-c", code, str(bench.folder)], check=True)
    time.sleep(99)
    return Outcome("never")
