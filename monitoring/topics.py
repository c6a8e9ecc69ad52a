"""Which topics moved: groups of words that stand together, and how many texts are mostly about each.

Non-negative matrix factorisation of TF-IDF (Lee and Seung 1999) over reference and live texts together; a topic is
named by the words that weigh most in it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

from monitoring.signals.texts import words_of

_TOPICS = 10
_WORDS = 5
_MOST_TEXTS = 1000
"""Of either side: topics are for reading, and so many show them."""
_MIN_TEXTS = 5
"""A word of fewer texts is not named: it may be a person's, and it is no trend."""
_LEVEL = 0.01


@dataclass(frozen=True, slots=True)
class MovedTopic:
    """A topic, and how many texts are mostly about it."""

    words: tuple[str, ...]
    before: float
    """Share of reference texts."""
    now: float
    """Share of live texts."""


def moved_topics(reference: Sequence[str], window: Sequence[str]) -> list[MovedTopic]:
    """The topics whose share of texts changed by more than chance explains, the largest change first.

    A two-sided z-test of the two shares at 1 %, Bonferroni-corrected over the topics. Empty where there are too few
    texts or words for topics.
    """
    old, new = _some(reference), _some(window)
    if min(len(old), len(new)) < _TOPICS * _MIN_TEXTS:
        return []
    vectorizer = TfidfVectorizer(analyzer=_telling_words, min_df=_MIN_TEXTS, max_df=0.5, max_features=2000)
    try:
        weights = vectorizer.fit_transform([*old, *new])
    except ValueError:  # no word stands in so many texts
        return []
    if min(weights.shape) < 2 * _TOPICS:
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # nearly settled topics read alike
        model = NMF(_TOPICS, init="nndsvda", random_state=0, max_iter=100, tol=1e-3)
        parts = model.fit_transform(weights)
    names = vectorizer.get_feature_names_out()
    about = np.where(parts.max(axis=1) > 0, parts.argmax(axis=1), -1)  # -1: about none of them
    moved = []
    for topic, loadings in enumerate(model.components_):
        of_topic = about == topic
        before, now = float(of_topic[: len(old)].mean()), float(of_topic[len(old) :].mean())
        pooled = float(of_topic.mean())
        spread = math.sqrt(pooled * (1 - pooled) * (1 / len(old) + 1 / len(new)))
        if spread and 2 * norm.sf(abs(now - before) / spread) <= _LEVEL / _TOPICS:
            words = tuple(names[place] for place in np.argsort(-loadings)[:_WORDS] if loadings[place] > 0)
            moved.append(MovedTopic(words, before, now))
    return sorted(moved, key=lambda topic: -abs(topic.now - topic.before))


def _some(texts: Sequence[str]) -> list[str]:
    return list(texts[:: math.ceil(len(texts) / _MOST_TEXTS) or 1])


def _telling_words(text: str) -> list[str]:
    return [word for word in words_of(text) if len(word) > 2 and word not in ENGLISH_STOP_WORDS]
