"""How often a challenger gives the champion's label: counted by label, for `/model` and the metrics."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """One label that the champion gave."""

    texts: int
    agreed: int
    """Of those, how many the challenger gave the same label."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """A challenger beside a champion, since both have been loaded."""

    texts: int = 0
    agreed: int = 0
    labels: dict[str, LabelAgreement] = field(default_factory=dict)


class AgreementCounter:
    """Counts for the pair that was compared last; another pair begins at nothing. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pair: tuple[str, str] | None = None
        self._texts: Counter[str] = Counter()
        self._agreed: Counter[str] = Counter()

    def add(self, pair: tuple[str, str], champion: list[str], challenger: list[str]) -> None:
        """Count labels of the same texts, given by the models whose ids are `pair`."""
        with self._lock:
            if pair != self._pair:
                self._pair = pair
                self._texts.clear()
                self._agreed.clear()
            self._texts.update(champion)
            self._agreed.update(
                given for given, other in zip(champion, challenger, strict=True) if given == other
            )

    def of(self, pair: tuple[str, str]) -> Agreement:
        """The counts of `pair`; nothing when another pair was compared last."""
        with self._lock:
            if pair != self._pair:
                return Agreement()
            labels = {
                label: LabelAgreement(count, self._agreed[label])
                for label, count in sorted(self._texts.items())
            }
            return Agreement(self._texts.total(), self._agreed.total(), labels)
