"""The challenger in the champion's shadow: it classifies some of the same texts, when there is nothing else to do."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.agreement import AgreementCounter
from service.jobs import Answer, ServedModel

_PIECE_TEXTS = 8
"""Texts of one piece of shadow work: what a request that comes meanwhile waits for."""
_WAITING_TEXTS = 256
"""Texts that wait for spare time; past it they are let go, not queued."""


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    label: str
    champion: ServedModel
    challenger: ServedModel


class Shadow:
    """Texts waiting for the challenger; the batcher calls `step` when its line is empty.

    Args:
        rate: share of the answered texts that are offered to the challenger, 0 to 1.
        agreement: what comes of it.
        observe: told of each comparison: the champion's labels, and the challenger's of the same texts.
        dropped: told how many texts were let go, since there was no time for them.
    """

    def __init__(
        self,
        rate: float,
        agreement: AgreementCounter,
        *,
        observe: Callable[[Sequence[str], Sequence[str]], None] = lambda *_: None,
        dropped: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._rate = rate
        self._agreement = agreement
        self._observe = observe
        self._dropped = dropped
        self._waiting: deque[_Text] = deque()
        self._lock = threading.Lock()
        self._chance = random.Random()

    @property
    def waiting(self) -> bool:
        """Whether there is anything to do."""
        return bool(self._waiting)

    def offer(
        self,
        champion: ServedModel,
        challenger: ServedModel | None,
        texts: Sequence[str],
        answers: Sequence[Answer],
    ) -> bool:
        """Take some of the texts that the champion has answered; whether there is something to do now."""
        if challenger is None or not self._rate:
            return False
        chosen = [
            _Text(text, answer.scores[0][0], champion, challenger)
            for text, answer in zip(texts, answers, strict=True)
            if self._chance.random() < self._rate
        ]
        with self._lock:
            room = _WAITING_TEXTS - len(self._waiting)
            self._waiting.extend(chosen[:room])
        if len(chosen) > room:
            self._dropped(len(chosen) - room)
        return bool(chosen)

    def step(self) -> None:
        """Let the challenger classify a few of the waiting texts, and note where it agrees."""
        items = self._taken()
        if not items:
            return
        champion, challenger = items[0].champion, items[0].challenger
        given = [item.label for item in items]
        found = challenger.classifier.predict([item.text for item in items]).argmax(axis=1)
        labels = [challenger.classifier.labels[column] for column in found]
        self._agreement.add((champion.model_id, challenger.model_id), given, labels)
        self._observe(given, labels)

    def _taken(self) -> list[_Text]:
        """The next texts of one pair of models."""
        taken: list[_Text] = []
        with self._lock:
            while self._waiting and len(taken) < _PIECE_TEXTS:
                item = self._waiting[0]
                if taken and (item.champion, item.challenger) != (taken[0].champion, taken[0].challenger):
                    break
                taken.append(self._waiting.popleft())
        return taken
