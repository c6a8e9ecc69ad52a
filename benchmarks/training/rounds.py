"""Both ways in turns, with the same seeds and texts, so that what else the machine does falls on both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.training.ways import WAYS, Measured, measure
from training.config.network import NetworkConfig
from training.data import Splits
from training.evaluation.intervals import Interval
from training.seed_comparison.statistics import t_interval


@dataclass(frozen=True)
class Rounds:
    """What came of all rounds."""

    measured: dict[str, list[Measured]]
    """Way → one training a round."""
    texts_a_round: float
    """Texts that each training passes through the network, all epochs together."""

    def texts_a_second(self, way: str) -> float:
        """Median over the rounds."""
        return self.texts_a_round / float(np.median([item.seconds for item in self.measured[way]]))

    def macro_f1(self, way: str) -> float:
        """Mean over the rounds."""
        return float(np.mean([item.macro_f1 for item in self.measured[way]]))

    @property
    def ratios(self) -> list[float]:
        """How many times as fast ours was, round by round."""
        return self._ratios("seconds")

    @property
    def speedup(self) -> float:
        """Median of the ratios."""
        return float(np.median(self.ratios))

    @property
    def cpu_speedup(self) -> float:
        """Median ratio of processor time."""
        return float(np.median(self._ratios("cpu_seconds")))

    @property
    def gain(self) -> Interval:
        """Macro-F1 of ours minus that of the plain way, paired by round, with Student's 95 % interval."""
        pairs = zip(self.measured["ours"], self.measured["plain"], strict=True)
        return t_interval([mine.macro_f1 - other.macro_f1 for mine, other in pairs])

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON can write it."""
        return {
            "texts_a_second": {way: self.texts_a_second(way) for way in self.measured},
            "speedup": self.speedup,
            "speedups": self.ratios,
            "cpu_speedup": self.cpu_speedup,
            "macro_f1": {way: self.macro_f1(way) for way in self.measured},
            "macro_f1_difference": asdict(self.gain),
            "rounds": {way: [asdict(item) for item in items] for way, items in self.measured.items()},
        }

    def _ratios(self, field: str) -> list[float]:
        pairs = zip(self.measured["plain"], self.measured["ours"], strict=True)
        return [getattr(other, field) / getattr(mine, field) for other, mine in pairs]


def run_rounds(
    config: NetworkConfig,
    splits: Splits,
    seeds: Sequence[int],
    said: Callable[[str], None] = lambda _sentence: None,
) -> Rounds:
    """Train both ways with each seed; who begins changes from round to round. A first small training is not counted."""
    small = config.model_copy(update={"epochs": 16 * config.batch_size / max(len(splits.train), 1) / 8})
    measure("ours", small, splits, seeds[0])  # first use of torch's threads and of the file system's cache
    measured: dict[str, list[Measured]] = {way: [] for way in WAYS}
    for place, seed in enumerate(seeds):
        for way in list(WAYS)[:: -1 if place % 2 else 1]:
            found = measure(way, config, splits, seed)
            measured[way].append(found)
            said(
                f"round {place + 1}, {way}: {found.seconds:.1f} s ({found.cpu_seconds:.1f} s of processor), "
                f"macro-F1 {found.macro_f1:.3f}"
            )
    return Rounds(measured, len(splits.train) * config.epochs)
