"""Audits of a cascade: a sample of early answers goes through all stages, in time that no request needs.

Agreement of early answers with the whole cascade needs no labels: where an early stage is sure of texts unlike those it
learned from, it falls before labels come back.
"""

from __future__ import annotations

import math
import random
import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from service.inference.jobs import Answer, ServedModel

_PIECE_TEXTS = 8
"""Texts that are classified in one step; a request that arrives meanwhile waits for them."""
_MAX_PENDING = 256
"""Texts that may be pending; further ones are dropped."""
_MODELS = 4
"""Models whose counts are kept: the champion, a challenger, and those before them."""
_Z = 1.959964
"""Quantile of the normal distribution for 95 % intervals."""


@dataclass(slots=True)
class CascadeCounts:
    """What one cascade answered since the process began."""

    stages: Counter[str] = field(default_factory=Counter)
    """Texts by the stage that answered."""
    audited: int = 0
    """Early answers whose text went through all stages."""
    agreed: int = 0
    """Of those, the ones that got the same label."""

    @property
    def agreement(self) -> tuple[float, float, float] | None:
        """Share of audited answers that agree, with its 95 % Wilson interval (1927); None: none was audited."""
        if not self.audited:
            return None
        total, share, square = self.audited, self.agreed / self.audited, _Z * _Z
        middle = share + square / (2 * total)
        half = _Z * math.sqrt(share * (1 - share) / total + square / (4 * total * total))
        scale = 1 + square / total
        return share, max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)

    def early_share(self, last: str) -> float | None:
        """Share of the texts that a stage before `last` answered; None: no text was answered."""
        total = self.stages.total()
        return (total - self.stages[last]) / total if total else None


@dataclass(frozen=True, slots=True)
class _EarlyAnswer:
    id: str
    text: str
    label: str
    model: ServedModel


class CascadeAudit:
    """Counts what each stage answers, and audits early answers; the batcher calls `step` while it is idle.

    Args:
        rate: share of the early answers that are audited, 0 to 1.
        keep: called with what all stages say, label by id of the prediction; its errors are the caller's to log.
        observe: called with a model, how many of its answers were audited, and how many of them agreed.
        dropped: called with the number of answers that were dropped for lack of time.
    """

    def __init__(
        self,
        rate: float,
        *,
        keep: Callable[[Mapping[str, str]], None] = lambda _: None,
        observe: Callable[[ServedModel, int, int], None] = lambda *_: None,
        dropped: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._rate = rate
        self._keep = keep
        self._observe = observe
        self._dropped = dropped
        self._pending: deque[_EarlyAnswer] = deque()
        self._counts: OrderedDict[str, CascadeCounts] = OrderedDict()
        self._lock = threading.Lock()
        self._chance = random.Random()

    @property
    def pending(self) -> bool:
        """Whether there are answers to audit."""
        return bool(self._pending)

    def count(self, model: ServedModel, answers: Sequence[Answer]) -> None:
        """Count answers by stage; those of a model without stages are not counted."""
        stages = [answer.stage for answer in answers if answer.stage is not None]
        if stages:
            with self._lock:
                self._counts_of(model).stages.update(stages)

    def offer(self, model: ServedModel, texts: Sequence[str], answers: Sequence[Answer]) -> bool:
        """Sample some of the early answers; returns whether any were taken."""
        names = model.classifier.stages
        if not names or not self._rate:
            return False
        chosen = [
            _EarlyAnswer(answer.id, text, answer.scores[0][0], model)
            for text, answer in zip(texts, answers, strict=True)
            if answer.stage != names[-1] and self._chance.random() < self._rate
        ]
        if not chosen:
            return False
        with self._lock:
            room = _MAX_PENDING - len(self._pending)
            self._pending.extend(chosen[:room])
        if len(chosen) > room:
            self._dropped(len(chosen) - room)
        return True

    def step(self) -> None:
        """Send a few of the pending texts through all stages, and count where the label is the same."""
        items = self._taken()
        if not items:
            return
        model = items[0].model
        found = model.classifier.predict([item.text for item in items], all_stages=True).argmax(axis=1)
        labels = {item.id: model.classifier.labels[column] for item, column in zip(items, found, strict=True)}
        agreed = sum(labels[item.id] == item.label for item in items)
        with self._lock:
            counts = self._counts_of(model)
            counts.audited += len(items)
            counts.agreed += agreed
        self._observe(model, len(items), agreed)
        self._keep(labels)

    def counts(self, model: ServedModel) -> CascadeCounts:
        """A copy of the counts of a model; zero where it answered nothing."""
        with self._lock:
            found = self._counts.get(model.model_id, CascadeCounts())
            return CascadeCounts(found.stages.copy(), found.audited, found.agreed)

    def _counts_of(self, model: ServedModel) -> CascadeCounts:
        counts = self._counts.setdefault(model.model_id, CascadeCounts())
        self._counts.move_to_end(model.model_id)
        while len(self._counts) > _MODELS:
            self._counts.popitem(last=False)
        return counts

    def _taken(self) -> list[_EarlyAnswer]:
        """The next answers of one model."""
        taken: list[_EarlyAnswer] = []
        with self._lock:
            while self._pending and len(taken) < _PIECE_TEXTS:
                if taken and self._pending[0].model is not taken[0].model:
                    break
                taken.append(self._pending.popleft())
        return taken
