"""A window: a bounded sample of the live predictions of one model version, and its latencies."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from monitoring.labels.weighting import QueueLabels, answered_batches
from stores.predictions import LabelledPrediction, Outcome, PredictionStore
from stores.predictions.audits import AuditedAnswer, audited_answers
from stores.predictions.filters import characters_each, fair_length
from stores.predictions.queue import LabelQueue
from stores.predictions.texts import MEASURED_CHARACTERS
from stores.predictions.traffic import SourceCount, count_by_source, latencies
from stores.sources import TRAFFIC

if TYPE_CHECKING:
    from monitoring.champion import MonitoredModel

_CLOCKS_APART = 60.0
"""Seconds by which two machines' clocks may differ."""
_FOREVER = 1e15
CHECKED_CHARACTERS = 8 * 1024 * 1024
"""Characters of all texts of a window that are compared; where there are more, the longest texts are cut."""


@dataclass(frozen=True, slots=True)
class Window:
    """A live window, with what was left out and how much of it."""

    since: float
    until: float
    predictions: int
    """Predictions of the watched version in the window."""
    other_versions: int
    """Predictions of other versions of the model in the window; they are not looked at."""
    sampled: int
    """Predictions that were read."""
    distinct: list[LabelledPrediction]
    """Of those, each text once. A text that is sent a thousand times says no more about drift than once, and
    counting it a thousand times would make any window look certain of itself."""
    novel: list[LabelledPrediction]
    """Of those, the ones whose text does not stand in the reference: word for word repetition hides drift of words."""
    outcomes: list[Outcome]
    """Confusion table of *all* labelled predictions of the version in the window, not of the sample."""
    queue: QueueLabels | None = None
    """Labelled predictions that the label queue chose, with their probabilities; None where there are none."""
    redacted: list[LabelledPrediction] = field(default_factory=list)
    """Of the sample, the ones whose text is gone by the retention policy; where a hash is left, each text once."""
    ahead: int = 0
    """Predictions of the model that are dated in the future, where no window looks for them."""
    latencies: Latencies | None = None
    """How long the service took, here and before; None where no service answered."""
    characters: int = MEASURED_CHARACTERS
    """Of each text that are compared, here and in the reference; more are not read, or not used."""
    cut: int = 0
    """Texts of the window that have more."""
    largest_repeat: tuple[str, int] | None = None
    """Id of a prediction whose text is read most often, and how often; None where no text is read twice."""
    other_sources: list[SourceCount] = field(default_factory=list)
    """Predictions of the version from sources that are no traffic; they are not looked at."""
    audits: list[AuditedAnswer] = field(default_factory=list)
    """Early answers of a cascade that all its stages classified, too."""

    @property
    def answers(self) -> list[LabelledPrediction]:
        """What is compared where no text is needed: labels, confidence."""
        return [*self.distinct, *self.redacted]

    @property
    def featured(self) -> list[LabelledPrediction]:
        """Of the redacted ones those whose text was measured before it was left out."""
        return [row for row in self.redacted if row.features is not None]

    @property
    def repeated(self) -> int:
        """Rows of the sample that repeat another one's text."""
        return self.sampled - len(self.answers)


def read_window(
    store: PredictionStore,
    champion: MonitoredModel,
    since: float,
    until: float,
    *,
    max_texts: int,
    sources: Collection[str] = TRAFFIC,
) -> Window:
    """Read a window of the champion's predictions from `sources`; at most `max_texts` rows, whatever the traffic.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    name, version = champion.model.name, champion.model.version
    rows = store.sample(
        since,
        until,
        size=max_texts,
        model_name=name,
        model_version=version,
        sources=sources,
        redacted=True,
    )
    outcomes = store.outcomes(since, until, model_name=name, model_version=version, sources=sources)
    times = read_latencies(store, champion, since, until, max_answers=max_texts, sources=sources)
    audits = audited_answers(
        store, since, until, size=max_texts, model_name=name, model_version=version, sources=sources
    )
    others = count_by_source(store, since, until, model_name=name, model_version=version, leave_out=sources)
    # Last, because the service keeps writing: the count is never smaller than the sample.
    of_version = store.count(since, until, model_name=name, model_version=version, sources=sources)
    of_model = store.count(since, until, model_name=name, sources=sources)
    distinct = each_text_once(row for row in rows if row.redacted_at is None)
    known = set(champion.reference["text"].str.slice(0, MEASURED_CHARACTERS))
    repeats_reference = [row.text in known for row in distinct]
    distinct, characters, cut = _cut(distinct, read=characters_each(len(rows)))
    return Window(
        since=since,
        until=until,
        predictions=of_version,
        other_versions=of_model - of_version,
        sampled=len(rows),
        distinct=distinct,
        novel=[row for row, repeats in zip(distinct, repeats_reference, strict=True) if not repeats],
        outcomes=outcomes,
        queue=_queue_labels(store, champion, since, until, sources),
        redacted=each_text_once(row for row in rows if row.redacted_at is not None),
        ahead=store.count(
            max(until, time.time() + _CLOCKS_APART), _FOREVER, model_name=name, sources=sources
        ),
        latencies=times,
        characters=characters,
        cut=cut,
        largest_repeat=_largest_repeat(rows),
        other_sources=others,
        audits=audits,
    )


def read_answers(
    store: PredictionStore,
    champion: MonitoredModel,
    since: float,
    until: float,
    *,
    max_texts: int,
    sources: Collection[str] = TRAFFIC,
) -> list[LabelledPrediction]:
    """A sample of the champion's predictions, each text once, also of those whose text is gone.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    rows = store.sample(
        since,
        until,
        size=max_texts,
        model_name=champion.model.name,
        model_version=champion.model.version,
        sources=sources,
        redacted=True,
    )
    return each_text_once(rows)


def _cut(rows: list[LabelledPrediction], *, read: int) -> tuple[list[LabelledPrediction], int, int]:
    """The rows with their texts cut so that all together have CHECKED_CHARACTERS at most.

    Args:
        rows: of which up to `read` characters of each text were read.
        read: that number.

    Returns:
        The rows, how many characters of each text count, and how many texts have more.
    """
    lengths = [len(row.text) for row in rows]
    characters = read if sum(lengths) <= CHECKED_CHARACTERS else fair_length(lengths, CHECKED_CHARACTERS)
    cut = sum(length > characters or length == read for length in lengths)
    kept = [row if len(row.text) <= characters else replace(row, text=row.text[:characters]) for row in rows]
    return kept, characters, cut


def _queue_labels(
    store: PredictionStore, champion: MonitoredModel, since: float, until: float, sources: Collection[str]
) -> QueueLabels | None:
    name, version = champion.model.name, champion.model.version
    queue = LabelQueue(store)
    progress = answered_batches(
        queue.progress(since, until, model_name=name, model_version=version, sources=sources)
    )
    outcomes = queue.outcomes([item.batch.id for item in progress], since, until, sources=sources)
    if not outcomes:
        return None
    covered = sum(
        store.count(first, last, model_name=name, model_version=version, sources=sources)
        for first, last in _united([(max(since, p.batch.since), min(until, p.batch.until)) for p in progress])
    )
    return QueueLabels(progress, outcomes, covered)


def _united(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The same moments as spans that do not overlap."""
    united: list[tuple[float, float]] = []
    for first, last in sorted(spans):
        if united and first <= united[-1][1]:
            united[-1] = (united[-1][0], max(last, united[-1][1]))
        else:
            united.append((first, last))
    return united


def each_text_once(rows: Iterable[LabelledPrediction]) -> list[LabelledPrediction]:
    """The first prediction of each text."""
    first: dict[str, LabelledPrediction] = {}
    for row in rows:
        # Removed texts cannot be compared.
        first.setdefault(row.id if row.redacted_at is not None and not row.text else row.text, row)
    return list(first.values())


def _largest_repeat(rows: Sequence[LabelledPrediction]) -> tuple[str, int] | None:
    counts = Counter(row.text for row in rows if row.text)
    text, count = max(counts.items(), key=lambda item: item[1], default=("", 0))
    return (next(row.id for row in rows if row.text == text), count) if count > 1 else None


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
    store: PredictionStore,
    champion: MonitoredModel,
    since: float,
    until: float,
    *,
    max_answers: int,
    sources: Collection[str] = TRAFFIC,
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
            sources=sources,
        )
        windows.append([(at - first, took) for at, took in rows])
    return Latencies.of(windows, width)
