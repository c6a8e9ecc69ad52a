"""What came of the behavioural tests."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from training.resampling import Interval

Kind = Literal["invariance", "direction", "minimum"]


@dataclass(frozen=True)
class Failure:
    """One text that did not get what it should."""

    before: str
    """The text as it was; empty where only one text was tried."""
    after: str
    """The text as it was tried."""
    expected: str
    found: str


@dataclass(frozen=True)
class BehaviourTest:
    """One test, tried on many texts."""

    name: str
    """For tags and metrics: `invariance_case`, `minimum_function`, …"""
    kind: Kind
    title: str
    """For people: what must hold."""
    tried: int
    """Texts tried."""
    share: Interval
    """Of the texts tried, those that passed, with the Wilson interval."""
    failures: tuple[Failure, ...] = ()
    """A few of those that did not; they quote texts of the data."""


@dataclass(frozen=True)
class Behaviour:
    """All tests of one classifier."""

    tests: tuple[BehaviourTest, ...]

    def metrics(self) -> dict[str, float]:
        """Figures by the names MLflow keeps them under: `behaviour_invariance_case`, `…_low`, `…_high`."""
        figures: dict[str, float] = {}
        for test in self.tests:
            share, name = test.share, f"behaviour_{test.name}"
            figures |= {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high}
        return figures

    def as_dict(self, *, texts: bool) -> list[dict[str, Any]]:
        """Everything as JSON can write it; failures, which quote texts, only with `texts`."""
        rows = [asdict(test) for test in self.tests]
        return rows if texts else [{k: v for k, v in row.items() if k != "failures"} for row in rows]
