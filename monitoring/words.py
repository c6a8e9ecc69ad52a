"""Which words moved: the plainest answer to "what do they write about now?"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from monitoring.signals.texts import words_of

_MIN_TEXTS = 5
"""A word of fewer texts is not named: it may be a person's, and it is no trend."""
_LEVEL = 0.01


@dataclass(frozen=True, slots=True)
class MovedWord:
    """A word, and how much of what is written it is."""

    word: str
    before: float
    """Times in a thousand words of reference texts, each word counted once a text."""
    now: float
    """The same of the live texts."""


def moved_words(
    reference: Sequence[str], window: Sequence[str], *, count: int = 12
) -> tuple[list[MovedWord], list[MovedWord]]:
    """The words that became more and less frequent by more than chance explains; at most `count` each.

    A word counts once a text, and as a share of all that counts so: where texts become shorter every word stands in
    fewer of them, which says nothing of what they are about. A two-sided z-test of the two shares at 1 %,
    Bonferroni-corrected over the words; the most certain first.
    """
    before, now = _texts_with(reference), _texts_with(window)
    if not before or not now:
        return [], []
    words = [
        word
        for word, texts in (before + now).items()
        if texts >= _MIN_TEXTS and word not in ENGLISH_STOP_WORDS and len(word) > 2
    ]
    old, new = (np.array([side[word] for word in words]) / side.total() for side in (before, now))
    pooled = np.array([before[word] + now[word] for word in words]) / (before.total() + now.total())
    scores = (new - old) / np.sqrt(pooled * (1 - pooled) * (1 / before.total() + 1 / now.total()))
    least = norm.isf(_LEVEL / 2 / max(1, len(words)))
    moved = [
        (float(score), MovedWord(word, 1000 * float(then), 1000 * float(today)))
        for word, score, then, today in zip(words, scores, old, new, strict=True)
        if abs(score) >= least
    ]
    moved.sort(key=lambda item: (-abs(item[0]), item[1].word))
    more, less = ([item for score, item in moved if score * sign > 0][:count] for sign in (1, -1))
    return more, less


def _texts_with(texts: Sequence[str]) -> Counter[str]:
    return Counter(word for text in texts for word in set(words_of(text)))
