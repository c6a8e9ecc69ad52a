"""One signal while it is being measured: both sides' values, the score, and what it is called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from monitoring.signals.chance import Floats, Score

Kind = Literal["texts", "numbers", "mix", "points", "times"]
"""What a signal's values are: whole texts, one number a text, one name a text, the probabilities of all classes, or how
long each answer took."""

TITLES = {
    "text_content": ("Text content", "AUC"),
    "unseen_words": ("Unseen words", "% of a text's words"),
    "language": ("Languages", "% of texts"),
    "predicted_label": ("Predicted labels", "% of answers"),
    "embedding": ("Embedding", "mean probability"),
    "confidence": ("Confidence", "probability"),
    "text_length": ("Text length", "characters"),
    "word_count": ("Words", "words a text"),
    "sentence_count": ("Sentences", "sentences a text"),
    "non_letters": ("Digits and punctuation", "% of characters"),
    "capitals": ("Capital letters", "% of characters"),
    "service_latency": ("Service latency", "milliseconds"),
}
"""Signal → its title and the unit of its values, in the order of reports."""

OF_THE_SERVICE = frozenset({"service_latency"})
"""Signals that say how the service fares, not what it is sent: no training mends them."""

_UNCHANGED = {"text_content": 0.5, "service_latency": 1.0}
"""Score of a signal that did not move, where it is not 0: guessing, and as long as before."""


def share_of_threshold(value: float, threshold: float, name: str) -> float:
    """Size of a signal's change as a multiple of the threshold from which it is a breach."""
    unchanged = _UNCHANGED.get(name)
    if unchanged is None:
        return value / threshold
    return max(0.0, value - unchanged) / max(threshold - unchanged, 1e-9)


class NothingToCompare(Exception):
    """A signal cannot be measured on these texts; the message says why."""


@dataclass(slots=True)
class Comparison:
    """Both sides of a signal, and what became of it."""

    name: str
    kind: Kind
    reference: Sequence[object] | Floats
    window: Sequence[object] | Floats
    measure: str
    """What the score is."""
    floor: float
    minimum: int
    """Texts that either side must have to be judged."""
    compute: Callable[[], Score]
    """Raises NothingToCompare."""
    classes: tuple[str, ...] = ()
    """Names of the columns of `points`."""
    score: Score | None = None
    problem: str = ""
    title: str = field(init=False)
    unit: str = field(init=False)

    def __post_init__(self) -> None:
        self.title, self.unit = TITLES[self.name]

    @property
    def enough(self) -> bool:
        """Whether both sides have enough texts to be judged."""
        return min(len(self.reference), len(self.window)) >= self.minimum
