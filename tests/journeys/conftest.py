"""Journeys run the project's commands as a user would: in a folder of their own, with nothing but the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SMALL = Path(__file__).with_name("small.yaml")

Command = Callable[..., subprocess.CompletedProcess[str]]


def command(
    arguments: Sequence[str], environment: Mapping[str, str], *, expected: Sequence[int] = (0,)
) -> subprocess.CompletedProcess[str]:
    """`python -m …` from the root of the project; fails with its output when it ends otherwise than expected."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "160", **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode in expected, (
        f"{arguments} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    )
    return done
