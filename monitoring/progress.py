"""Progress of a command on standard error, if that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Step = Callable[[str], None]
"""Called with what is being done now."""


def silent(step: str) -> None:
    """A Step that shows nothing."""


@contextmanager
def progress(first: str) -> Iterator[Step]:
    """Show the present step with a spinner; it is wiped out at the end. Standard output is not touched."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console

    with Console(stderr=True).status(f"{first} …") as status:
        yield lambda step: status.update(f"{step} …")
