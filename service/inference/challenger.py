"""The challenger: followed in the registry, compared with the champion on a sample of texts, or given some requests.

There may be none, and its failures do not affect the champion.
"""

from __future__ import annotations

import logging
import random
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from service.inference.bundle_check import CheckLimits
from service.inference.jobs import Answer, ServedModel
from service.inference.model_follower import ChampionFollower
from service.settings import ServiceSettings
from stores.errors import ModelNotRegistered, StoreError
from stores.settings import SigningSettings, TrackingSettings


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """One label that the champion gave."""

    texts: int
    agreed: int
    """Of those, how many the challenger gave the same label."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of a challenger with a champion since both are loaded."""

    texts: int = 0
    agreed: int = 0
    labels: dict[str, LabelAgreement] = field(default_factory=dict)


class AgreementCounter:
    """Counts for the pair of models that was compared last; another pair resets them. Thread-safe."""

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
        """The counts of `pair`; zero where another pair was compared last."""
        with self._lock:
            if pair != self._pair:
                return Agreement()
            labels = {
                label: LabelAgreement(count, self._agreed[label])
                for label, count in sorted(self._texts.items())
            }
            return Agreement(self._texts.total(), self._agreed.total(), labels)


logger = logging.getLogger(__name__)

CHALLENGER = "challenger"


class ChallengerFollower(ChampionFollower):
    """Keeps `served` at the registry's challenger; None: there is no challenger."""

    _what = CHALLENGER
    _keeps_labels = False
    _starts_from_cache = False

    def _registry_failed(self, error: StoreError) -> None:
        if isinstance(error, ModelNotRegistered):  # usual: it was promoted, or never set
            if self.served is not None:
                logger.info("challenger_gone", extra={"fields": {"version": self.served.version}})
            self.served = None
            self._note_no_problem()
            return
        # The loaded one stays in use.
        self._note_problem(str(error), "registry_unavailable")


def challenger_follower(
    settings: ServiceSettings,
    tracking: TrackingSettings,
    signing: SigningSettings,
    on_swap: Callable[[ServedModel], None],
) -> ChallengerFollower | None:
    """The follower of the challenger; None: SHADOW_RATE and CANARY_SHARE are 0, or MODEL_URI pins the model."""
    if tracking.model_uri is not None or not (settings.shadow_rate or settings.canary_share):
        return None
    return ChallengerFollower(
        tracking.model_copy(update={"model_alias": CHALLENGER}),
        signing,
        poll_seconds=settings.poll_seconds,
        threads=settings.cores,
        precision=settings.precision,
        device=settings.device,
        batch_tokens=settings.batch_tokens,
        on_swap=on_swap,
        limits=CheckLimits.of(settings),
    )


_PIECE_TEXTS = 8
"""Texts that are classified in one step; a request that arrives meanwhile waits for them."""
_MAX_PENDING = 256
"""Texts that may be pending; further ones are dropped."""


@dataclass(frozen=True, slots=True)
class _Text:
    text: str
    label: str
    champion: ServedModel
    challenger: ServedModel


class Shadow:
    """Classifies a sample of the champion's texts with the challenger; the batcher calls `step` while it is idle.

    Args:
        rate: share of the answered texts that are offered to the challenger, 0 to 1.
        agreement: counts the comparisons.
        observe: called with the champion's and the challenger's labels of the same texts.
        dropped: called with the number of texts that were dropped for lack of time.
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
        self._pending: deque[_Text] = deque()
        self._lock = threading.Lock()
        self._chance = random.Random()

    @property
    def pending(self) -> bool:
        """Whether there are texts to classify."""
        return bool(self._pending)

    def offer(
        self,
        champion: ServedModel,
        challenger: ServedModel | None,
        texts: Sequence[str],
        answers: Sequence[Answer],
    ) -> bool:
        """Sample some of the texts that the champion answered; returns whether any were taken."""
        if challenger is None or not self._rate:
            return False
        chosen = [
            _Text(text, answer.scores[0][0], champion, challenger)
            for text, answer in zip(texts, answers, strict=True)
            if self._chance.random() < self._rate
        ]
        with self._lock:
            room = _MAX_PENDING - len(self._pending)
            self._pending.extend(chosen[:room])
        if len(chosen) > room:
            self._dropped(len(chosen) - room)
        return bool(chosen)

    def step(self) -> None:
        """Classify a few of the pending texts with the challenger, and count where it agrees."""
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
            while self._pending and len(taken) < _PIECE_TEXTS:
                item = self._pending[0]
                if taken and (item.champion, item.challenger) != (taken[0].champion, taken[0].challenger):
                    break
                taken.append(self._pending.popleft())
        return taken


_ALL = 2**64


def in_canary(key: str, challenger_id: str, share: float) -> bool:
    """Whether the request with `key` belongs to the `share` (0 to 1) of keys that the challenger answers.

    The same key gets the same answer as long as the challenger is the same; a larger share keeps the keys that a
    smaller one had. With another challenger other keys are chosen, so that it is not always the same clients.
    """
    digest = blake2b(f"{challenger_id}\0{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") < share * _ALL
