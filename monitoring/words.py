"""Which words moved: the plainest answer to "what do they write about now?"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from monitoring.signals.texts import words_of

_MIN_TEXTS = 5
"""A word of fewer texts is not named: it may be a person's, and it is no trend."""


@dataclass(frozen=True, slots=True)
class MovedWord:
    """A word, and in how many texts it stands."""

    word: str
    before: float
    """Share of reference texts with it."""
    now: float
    """Share of live texts with it."""


def moved_words(
    reference: Sequence[str], window: Sequence[str], *, count: int = 12
) -> tuple[list[MovedWord], list[MovedWord]]:
    """The words that became most and least frequent, by the z-score of the two shares; at most `count` each."""
    if not reference or not window:
        return [], []
    before, now = _texts_with(reference), _texts_with(window)
    scored = []
    for word in before.keys() | now.keys():
        texts = before[word] + now[word]
        if texts < _MIN_TEXTS or word in ENGLISH_STOP_WORDS or len(word) < 3:
            continue
        old, new = before[word] / len(reference), now[word] / len(window)
        pooled = texts / (len(reference) + len(window))
        spread = np.sqrt(pooled * (1 - pooled) * (1 / len(reference) + 1 / len(window))) or 1e-9
        scored.append(((new - old) / float(spread), MovedWord(word, old, new)))
    scored.sort(key=lambda item: (-item[0], item[1].word))
    more = [item for score, item in scored[:count] if score > 2]
    less = [item for score, item in reversed(scored[-count:]) if score < -2]
    return more, less


def _texts_with(texts: Sequence[str]) -> Counter[str]:
    return Counter(word for text in texts for word in set(words_of(text)))
