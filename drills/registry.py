"""What a drill is, and the list of them.

Usage::

    @drill("files.mutated", promise="A damaged data file is read or refused, never half-understood.", limit=120)
    def mutated(bench: Bench) -> Outcome:
        tried = bench.count(1000)
        ...
        return Outcome(f"{tried:,} files", faults)
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path

SUBJECTS = ("http_input", "connections", "files", "bundles", "kills", "load", "memory", "stores", "models")
"""Modules of this package that hold drills, in the order in which they run."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What a drill works with."""

    folder: Path
    """Its own folder, empty at the beginning."""
    shared: Path
    """Folder of what several drills use, such as the champion."""
    scale: float = 1.0
    """Factor on counts and durations."""
    seed: int = 13

    def count(self, full: int, *, least: int = 1) -> int:
        """`full` times the scale, and at least `least`."""
        return max(least, round(full * self.scale))

    def seconds(self, full: float, *, least: float = 2.0) -> float:
        """`full` seconds times the scale, and at least `least`."""
        return max(least, full * self.scale)

    def random(self) -> random.Random:
        """A generator with the seed of this run."""
        return random.Random(self.seed)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a drill found."""

    figure: str
    """What was tried and measured, in one line."""
    faults: Sequence[str] = field(default=())
    """Where the promise did not hold; empty: it held."""


Function = Callable[[Bench], Outcome]


@dataclass(frozen=True, slots=True)
class Drill:
    """One fault, and what must hold meanwhile."""

    name: str
    """`SUBJECT.WHAT`."""
    promise: str
    """One sentence, as docs/reliability.md shows it."""
    limit: float
    """Seconds after which it is stopped and has failed."""
    function: Function


DRILLS: dict[str, Drill] = {}
"""Every drill that has been imported, by name, in order."""


def drill(name: str, *, promise: str, limit: float) -> Callable[[Function], Function]:
    """Register the decorated function as a drill.

    Raises:
        ValueError: there is another one with this name.
    """

    def register(function: Function) -> Function:
        known = DRILLS.get(name)
        if known is not None and known.function.__module__ != function.__module__:
            raise ValueError(f"two drills are called {name!r}")
        DRILLS[name] = Drill(name, promise, limit, function)
        return function

    return register


def all_drills() -> list[Drill]:
    """The drills of this package, in order."""
    modules = [f"drills.{subject}" for subject in SUBJECTS]
    for module in modules:
        import_module(module)
    return [known for known in DRILLS.values() if known.function.__module__ in modules]


def chosen(drills: Sequence[Drill], names: Iterable[str]) -> list[Drill]:
    """The drills that `names` name: a drill, a subject, or a pattern such as `kills.*`; none given: all.

    Raises:
        ValueError: a name is no drill's.
    """
    wanted = list(names)
    if not wanted:
        return list(drills)

    def fits(known: Drill, name: str) -> bool:
        return fnmatchcase(known.name, name) or known.name.split(".")[0] == name

    for name in wanted:
        if not any(fits(known, name) for known in drills):
            raise ValueError(
                f"there is no drill {name!r}; known are {', '.join(known.name for known in drills)}"
            )
    return [known for known in drills if any(fits(known, name) for name in wanted)]
