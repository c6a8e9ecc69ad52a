"""Numbers that describe texts: Evidently's descriptors that need no download, and two that look at the words."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitoring.signals.quiet import numpy_state_kept

_WORD = re.compile(r"[^\W\d_]+")
_PLAIN_WORD = re.compile(r"[a-z]+")
"""The same for ASCII in lower case, twice as fast."""
_CAPITALS = string.ascii_uppercase.encode()

DESCRIPTORS = ("text_length", "word_count", "sentence_count", "non_letters", "capitals")
"""Columns that `describe` adds."""


@lru_cache(maxsize=1)
def _evidently_descriptors() -> list[object]:
    from evidently.descriptors import (
        CustomColumnDescriptor,
        NonLetterCharacterPercentage,
        SentenceCount,
        TextLength,
        WordCount,
    )

    return [
        TextLength("text", alias="text_length"),
        WordCount("text", alias="word_count"),
        SentenceCount("text", alias="sentence_count"),
        NonLetterCharacterPercentage("text", alias="non_letters"),
        CustomColumnDescriptor("text", _capital_share, alias="capitals"),
    ]


def describe(texts: Sequence[str]) -> pd.DataFrame:
    """One row a text, one float column a descriptor; computed by Evidently."""
    from evidently import DataDefinition, Dataset

    frame = pd.DataFrame({"text": [text or " " for text in texts]})  # Evidently divides by the length
    if frame.empty:  # Evidently refuses
        return pd.DataFrame(columns=list(DESCRIPTORS), dtype=float)
    with numpy_state_kept():
        data = Dataset.from_pandas(
            frame,
            data_definition=DataDefinition(text_columns=["text"]),
            descriptors=_evidently_descriptors(),
        )
    return data.as_dataframe()[list(DESCRIPTORS)].astype(float)


def _capital_share(data: object) -> object:
    from evidently.core.datasets import DatasetColumn
    from evidently.legacy.core import ColumnType

    shares = data.data.map(lambda text: 100 * _capitals(text) / max(1, len(text)))  # type: ignore[attr-defined]
    return DatasetColumn(type=ColumnType.Numerical, data=shares)


def _capitals(text: str) -> int:
    if text.isascii():  # most texts are, and this is five times as fast
        return len(text) - len(text.encode().translate(None, _CAPITALS))
    return sum(map(str.isupper, text))


def words_of(text: str) -> list[str]:
    """The words of a text in lower case; no digits."""
    lower = text.lower()
    return (_PLAIN_WORD if lower.isascii() else _WORD).findall(lower)


@lru_cache(maxsize=1)
def measured_reference(texts: tuple[str, ...]) -> tuple[Vocabulary, NDArray[np.float64], pd.DataFrame]:
    """Vocabulary of the reference, how much of each of its texts no other one knows, and its descriptors.

    Kept for the next check of a `watch`, whose reference is the same until another champion comes.
    """
    vocabulary = Vocabulary(texts)
    return vocabulary, vocabulary.unseen_in_reference(), describe(texts)


class Vocabulary:
    """The words of the reference texts, to tell how much of another text they have never seen.

    A reference text is measured against the *other* reference texts: it would know all its own words, and every
    new text would look strange beside it.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = [words_of(text) for text in texts]
        self._seen_in = Counter(word for words in self._texts for word in set(words))

    def unseen_in_reference(self) -> NDArray[np.float64]:
        """Percentage of each reference text's words that no other reference text has."""
        return np.array(
            [_percentage(sum(self._seen_in[word] < 2 for word in words), words) for words in self._texts]
        )

    def unseen_in(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Percentage of each text's words that no reference text has; 0 for a text without words."""
        read = [words_of(text) for text in texts]
        return np.array(
            [_percentage(sum(word not in self._seen_in for word in words), words) for words in read]
        )


def _percentage(part: int, words: Sequence[str]) -> float:
    return 100 * part / len(words) if words else 0.0
