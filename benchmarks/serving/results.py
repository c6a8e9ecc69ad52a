"""What was measured, and its medians over the rounds."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.serving.driving import Observed
from benchmarks.serving.quality import Quality


@dataclass(frozen=True, slots=True)
class Figure:
    """One loop against one server in one round."""

    peer: str
    scenario: str
    """`closed-32-mixed`: kind of loop, clients, texts; `open-mixed`: at the fixed rate; `lists-2-mixed`: of lists."""
    round: int
    rate: float
    """Texts a second."""
    p50: float
    """Milliseconds."""
    p95: float
    p99: float
    failed: int


@dataclass(frozen=True, slots=True)
class Start:
    """One start of one server."""

    peer: str
    round: int
    seconds: float
    megabytes: float
    """After the loops, all processes together."""
    agreement: float
    """Share of some texts to which it gives our label: the weights are the same."""
    padding: float | None
    """Share of the computed tokens that were padding, if it tells."""


@dataclass
class Results:
    """All of it."""

    machine: dict[str, str | int] = field(default_factory=dict)
    quality: Quality | None = None
    texts: dict[str, float] = field(default_factory=dict)
    """Kind → mean words."""
    rate: float = 0.0
    """Requests a second of the open loop."""
    figures: list[Figure] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    ceilings: list[tuple[int, str, float]] = field(default_factory=list)
    """(round, kind of texts, texts a second) of the classifier in-process."""
    calls: list[tuple[int, str, float]] = field(default_factory=list)
    """(round, kind of texts, milliseconds) of one text by itself, in-process."""
    files: list[tuple[str, int, float, float]] = field(default_factory=list)
    """(peer, round, texts a second of `service.batch`, texts a second in-process) of whole texts."""
    failures: dict[str, str] = field(default_factory=dict)
    """Peer → why it could not take part."""

    def add(self, peer: str, scenario: str, round_: int, seen: Observed, texts: int = 1) -> None:
        """Record a loop of requests that held `texts` each."""
        self.figures.append(
            Figure(
                peer, scenario, round_, texts * seen.rate, seen.percentile(0.5), seen.percentile(0.95),
                seen.percentile(0.99), seen.failed,
            )
        )  # fmt: skip

    def of(self, peer: str, scenario: str) -> list[Figure]:
        """One server's figures of one scenario, a round each."""
        return [item for item in self.figures if item.peer == peer and item.scenario == scenario]

    def peers(self) -> list[str]:
        """Those that took part, in the order in which they first did."""
        return list(dict.fromkeys(item.peer for item in self.figures))

    def scenarios(self) -> list[str]:
        """In the order in which they were first measured."""
        return list(dict.fromkeys(item.scenario for item in self.figures))

    def rate_of(self, peer: str, scenario: str) -> float:
        """Median answers a second; 0 where there are none."""
        return median(item.rate for item in self.of(peer, scenario))

    def ceiling(self, kind: str) -> float:
        """Median texts a second in-process; 0 where it was not measured."""
        return median(rate for _, found, rate in self.ceilings if found == kind)

    def call(self, kind: str) -> float:
        """Median milliseconds of one text in-process; 0 where it was not measured."""
        return median(milliseconds for _, found, milliseconds in self.calls if found == kind)

    def write(self, path: Path) -> None:
        """All of it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")


def median(values: Iterable[float]) -> float:
    """The median; 0 of nothing."""
    found = list(values)
    return statistics.median(found) if found else 0.0
