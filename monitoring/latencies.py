"""How long the service took, in a window and at the same time of day on the days before it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from monitoring.champion import Champion
from stores.predictions import PredictionStore
from stores.predictions.latencies import latencies

_DAY = 86400.0
_DAYS = 7
"""How far back the windows before may lie: a week has every day of the week once."""
_SLICES = 24
"""Parts of a window that are taken for independent of one another: hours of a day, minutes of half an hour."""
_SHORTEST_SLICE = 60.0
_MOST_ANSWERS = 500
"""Read of each window. The same of each, so that none is known better than another."""


@dataclass(frozen=True, slots=True)
class Latencies:
    """Times of answers; one entry an answer in each array."""

    seconds: NDArray[np.float64]
    back: NDArray[np.int64]
    """Which window it fell into: 0 is the one that is judged, 1 the one before it, and so on."""
    slice: NDArray[np.int64]
    """Which part of that window: equal ones stand at the same time of day, in every window."""

    @property
    def now(self) -> NDArray[np.float64]:
        """Seconds, in the window that is judged."""
        return np.compress(self.back == 0, self.seconds)

    @property
    def before(self) -> NDArray[np.float64]:
        """Seconds, in the windows before."""
        return np.compress(self.back > 0, self.seconds)

    @classmethod
    def of(cls, windows: list[list[tuple[float, float]]], width: float) -> Latencies:
        """From the answers of every window, this one first.

        Args:
            windows: of each answer how many seconds after the beginning of its window it came, and how many it took.
            width: of a window, in seconds.
        """
        slices = min(_SLICES, max(1, int(width // _SHORTEST_SLICE)))
        rows = [(back, after, took) for back, rows in enumerate(windows) for after, took in rows]
        back, after, took = np.array(rows, dtype=np.float64).reshape(-1, 3).T
        place = np.clip(after * slices // width, 0, slices - 1)
        return cls(took, back.astype(np.int64), place.astype(np.int64))


def read_latencies(
    store: PredictionStore, champion: Champion, since: float, until: float, *, max_answers: int
) -> Latencies:
    """Times of the champion's answers in the window, and in windows a whole number of days before it.

    A bundle knows nothing of the machine that it will be served on, so the reference is what the same version took at
    the same time of day, on the seven days before; of a window longer than a day, in the windows right before it that
    begin at the same time of day and lie in that week, at least one.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    width = until - since
    # Less a microsecond: the difference of two times is a little more than a day at times.
    step = _DAY * max(1, math.ceil((width - 1e-6) / _DAY))
    windows = []
    for back in range(1 + max(1, int(_DAYS * _DAY // step))):
        first = since - back * step
        rows = latencies(
            store,
            first,
            min(first + width, since) if back else until,
            model_name=champion.model.name,
            model_version=champion.model.version,
            size=min(_MOST_ANSWERS, max_answers),
        )
        windows.append([(at - first, took) for at, took in rows])
    return Latencies.of(windows, width)
