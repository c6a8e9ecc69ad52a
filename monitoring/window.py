"""What was answered: a bounded sample of the live predictions of one model version."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from monitoring.champion import Champion
from monitoring.latencies import Latencies, read_latencies
from monitoring.sampling import QueueLabels, answered
from stores.predictions import LabelledPrediction, Outcome, PredictionStore
from stores.predictions.queue import LabelQueue

_CLOCKS_APART = 60.0
"""Seconds by which two machines' clocks may differ."""
_FOREVER = 1e15


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

    @property
    def answers(self) -> list[LabelledPrediction]:
        """What is compared where no text is needed: labels, confidence."""
        return [*self.distinct, *self.redacted]

    @property
    def repeated(self) -> int:
        """Rows of the sample that repeat another one's text."""
        return self.sampled - len(self.answers)


def read_window(
    store: PredictionStore, champion: Champion, since: float, until: float, *, max_texts: int
) -> Window:
    """Read a window of the champion's live predictions; at most `max_texts` rows, whatever the traffic.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    name, version = champion.model.name, champion.model.version
    rows = store.sample(since, until, size=max_texts, model_name=name, model_version=version, redacted=True)
    outcomes = store.outcomes(since, until, model_name=name, model_version=version)
    times = read_latencies(store, champion, since, until, max_answers=max_texts)
    # Last, since the service goes on writing: no more can be read than were counted.
    of_version = store.count(since, until, model_name=name, model_version=version)
    of_model = store.count(since, until, model_name=name)
    distinct = _each_once(row for row in rows if row.redacted_at is None)
    known = set(champion.reference["text"])
    return Window(
        since=since,
        until=until,
        predictions=of_version,
        other_versions=of_model - of_version,
        sampled=len(rows),
        distinct=distinct,
        novel=[row for row in distinct if row.text not in known],
        outcomes=outcomes,
        queue=_queue_labels(store, champion, since, until),
        redacted=_each_once(row for row in rows if row.redacted_at is not None),
        ahead=store.count(max(until, time.time() + _CLOCKS_APART), _FOREVER, model_name=name),
        latencies=times,
    )


def _queue_labels(
    store: PredictionStore, champion: Champion, since: float, until: float
) -> QueueLabels | None:
    name, version = champion.model.name, champion.model.version
    queue = LabelQueue(store)
    progress = answered(queue.progress(since, until, model_name=name, model_version=version))
    outcomes = queue.outcomes([item.batch.id for item in progress], since, until)
    if not outcomes:
        return None
    covered = sum(
        store.count(first, last, model_name=name, model_version=version)
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


def _each_once(rows: Iterable[LabelledPrediction]) -> list[LabelledPrediction]:
    first: dict[str, LabelledPrediction] = {}
    for row in rows:
        # Of removed texts nobody knows which were the same.
        first.setdefault(row.id if row.redacted_at is not None and not row.text else row.text, row)
    return list(first.values())
