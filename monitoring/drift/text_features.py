"""Signals of the texts as numbers: unseen words, and Evidently's descriptors that need no download."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd

from monitoring.drift.numeric import NumericSignal
from monitoring.drift.permutation import Floats
from monitoring.drift.signal import DriftData, Sides, register_signal
from monitoring.window import Window
from stores.predictions.texts import TEXT_FEATURES, text_features

_WORD = re.compile(r"[^\W\d_]+")
_PLAIN_WORD = re.compile(r"[a-z]+")
"""The same for ASCII in lower case, twice as fast."""

DESCRIPTORS = TEXT_FEATURES
"""Columns that `describe` adds."""


@register_signal
class UnseenWords(NumericSignal):
    """Percentage of each text's words that no reference text has."""

    name, title, unit, order = "unseen_words", "Unseen words", "% of a text's words", 20
    needs_text = True
    possible_cause = "new subjects, or another source of texts"

    def sides(self, data: DriftData) -> Sides:
        """Reference texts against the other reference texts; texts of the window that are not in the reference."""
        return Sides(
            measured_reference(tuple(data.reference_texts)).words.unseen,
            data.once(words_of_window).unseen,
            times=[row.created_at for row in data.window.novel],
        )


class _Descriptor(NumericSignal):
    """One of `DESCRIPTORS`; where texts are not stored, the service stores these features instead."""

    needs_text = True

    def lacks_texts(self, window: Window) -> bool:
        return super().lacks_texts(window) and not window.featured

    def sides(self, data: DriftData) -> Sides:
        return Sides(
            measured_reference(tuple(data.reference_texts)).descriptors[self.name].to_numpy(),
            data.once(_window_features)[self.name].to_numpy(),
            times=[row.created_at for row in (*data.window.distinct, *data.window.featured)],
        )


_OTHER_LENGTH = "a sender that truncates its texts, or sends another part of them"
_OTHER_STYLE = "another style of writing: markup, encoding, lower case, typing errors"


@register_signal
class TextLength(_Descriptor):
    """Characters per text."""

    name, title, unit, order = "text_length", "Text length", "characters", 70
    possible_cause = _OTHER_LENGTH


@register_signal
class WordCount(_Descriptor):
    """Words per text."""

    name, title, unit, order = "word_count", "Words", "words per text", 80
    possible_cause = _OTHER_LENGTH


@register_signal
class SentenceCount(_Descriptor):
    """Sentences per text."""

    name, title, unit, order = "sentence_count", "Sentences", "sentences per text", 90
    possible_cause = _OTHER_LENGTH


@register_signal
class NonLetters(_Descriptor):
    """Percentage of characters that are no letters."""

    name, title, unit, order = "non_letters", "Digits and punctuation", "% of characters", 100
    possible_cause = _OTHER_STYLE


@register_signal
class Capitals(_Descriptor):
    """Percentage of characters that are capital letters."""

    name, title, unit, order = "capitals", "Capital letters", "% of characters", 110
    possible_cause = _OTHER_STYLE


def _window_features(data: DriftData) -> pd.DataFrame:
    """One row per text of the window, one column per descriptor: computed, or as the service stored them."""
    stored = [dict(row.features or {}) for row in data.window.featured]
    return pd.concat(
        [describe(data.window_texts), pd.DataFrame(stored, columns=list(DESCRIPTORS), dtype=float)]
    ).dropna()


def describe(texts: Sequence[str]) -> pd.DataFrame:
    """One row per text, one float column per descriptor.

    As Evidently defines them, and as the service stores them with texts that it does not keep
    (`stores.predictions.texts`).
    """
    return pd.DataFrame([text_features(text) for text in texts], columns=list(DESCRIPTORS), dtype=float)


def tokenize(text: str) -> list[str]:
    """The words of a text in lower case; no digits."""
    lower = text.lower()
    return (_PLAIN_WORD if lower.isascii() else _WORD).findall(lower)


@dataclass(frozen=True, slots=True)
class Words:
    """Words of several texts; the texts' own lists of words are not kept, which would take more memory than they."""

    unseen: Floats
    """Percentage of each text's words that no (other) reference text has; 0 for a text without words."""
    texts_with: Counter[str]
    """Word → how many of the texts have it."""


@dataclass(frozen=True, slots=True)
class MeasuredReference:
    """What is measured of the texts of a reference."""

    words: Words
    descriptors: pd.DataFrame


@lru_cache(maxsize=1)
def measured_reference(texts: tuple[str, ...]) -> MeasuredReference:
    """Words and descriptors of the reference.

    Cached for the next check of a `watch`: the reference changes only with the champion.
    """
    return MeasuredReference(words_of_reference(texts), describe(texts))


def words_of_reference(texts: Sequence[str]) -> Words:
    """Words of the reference texts, each text measured against the *other* ones: against all of them it would have no
    unseen words.
    """
    texts_with: Counter[str] = Counter()
    first: dict[str, tuple[int, int]] = {}
    counts = []
    for place, text in enumerate(texts):
        words = Counter(tokenize(text))
        counts.append(words.total())
        first |= {word: (place, count) for word, count in words.items() if word not in texts_with}
        texts_with.update(words.keys())
    unseen = [0] * len(counts)
    for word, (place, count) in first.items():
        if texts_with[word] == 1:
            unseen[place] += count
    return Words(np.array(list(map(_percentage, unseen, counts))), texts_with)


def words_of_window(data: DriftData) -> Words:
    """Words of the window's texts that are not in the reference."""
    known = measured_reference(tuple(data.reference_texts)).words.texts_with
    texts_with: Counter[str] = Counter()
    unseen = []
    for text in data.novel_texts:
        words = tokenize(text)
        unseen.append(_percentage(len(words) - sum(map(known.__contains__, words)), len(words)))
        texts_with.update(set(words))
    return Words(np.array(unseen), texts_with)


def _percentage(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0
