"""Segments of the traffic that changed: classes, words and topics."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu, norm
from sklearn.decomposition import NMF
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

from monitoring.drift.permutation import Floats
from monitoring.drift.signal import Comparison
from monitoring.drift.text_features import tokenize
from monitoring.verdict import Accuracy, Estimate

_LEVEL = 0.01


@dataclass(frozen=True, slots=True)
class AffectedClass:
    """A class as it is answered in the reference and in the window."""

    label: str
    before: float
    """Share of the reference's answers."""
    now: float
    """Share of the window's answers."""
    sure_before: float | None
    """Median confidence of those answers in the reference; None: there are none."""
    sure_now: float | None
    f1: Estimate | None
    """Where enough labels came back."""
    reference_f1: float | None
    affected: bool
    """Whether its share or the confidence in it changed by more than chance explains, or its F1 is in breach."""


def affected_classes(comparisons: Sequence[Comparison], accuracy: Accuracy) -> list[AffectedClass]:
    """Every class that was answered, the affected ones first, each group by the change of its share.

    A z-test of the shares and a Mann-Whitney test of the confidence, at 1 %, Bonferroni-corrected over both tests of
    all classes. Empty where labels or confidence were not compared.
    """
    by_name = {item.name: item for item in comparisons}
    labels, confidence = by_name.get("predicted_label"), by_name.get("confidence")
    if labels is None or confidence is None or labels.score is None or confidence.score is None:
        return []
    answers = [np.array(list(map(str, side))) for side in (labels.reference, labels.window)]
    before, now = (np.asarray(side, dtype=float) for side in (confidence.reference, confidence.window))
    names = sorted({*answers[0], *answers[1]})
    level = _LEVEL / (2 * len(names))
    scores = {score.label: score for score in accuracy.classes}
    found = []
    for name in names:
        then, today = (side == name for side in answers)
        score = scores.get(name)
        found.append(
            AffectedClass(
                label=name,
                before=float(then.mean()),
                now=float(today.mean()),
                sure_before=_median(before[then]),
                sure_now=_median(now[today]),
                f1=score.f1 if score and score.status != "insufficient_data" else None,
                reference_f1=score.reference_f1 if score else None,
                affected=_share_moved(then, today, level)
                or _sureness_moved(before[then], now[today], level)
                or (score is not None and score.status == "breach"),
            )
        )
    return sorted(found, key=lambda item: (not item.affected, -abs(item.now - item.before)))


def _share_moved(before: NDArray[np.bool_], now: NDArray[np.bool_], level: float) -> bool:
    pooled = (before.sum() + now.sum()) / (len(before) + len(now))
    spread = math.sqrt(pooled * (1 - pooled) * (1 / len(before) + 1 / len(now)))
    return spread > 0 and bool(2 * norm.sf(abs(now.mean() - before.mean()) / spread) <= level)


def _sureness_moved(before: Floats, now: Floats, level: float) -> bool:
    return min(len(before), len(now)) > 0 and bool(mannwhitneyu(before, now).pvalue <= level)


def _median(values: Floats) -> float | None:
    return float(np.median(values)) if len(values) else None


_MIN_TEXTS = 5
"""A word of fewer texts is not named: it may be a person's, and it is no trend."""
_LEVEL = 0.01


@dataclass(frozen=True, slots=True)
class ChangedWord:
    """A word, and how much of what is written it is."""

    word: str
    before: float
    """Times in a thousand words of reference texts, each word counted once a text."""
    now: float
    """The same of the live texts."""


def changed_words(
    reference: Sequence[str], window: Sequence[str], *, count: int = 12
) -> tuple[list[ChangedWord], list[ChangedWord]]:
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
        (float(score), ChangedWord(word, 1000 * float(then), 1000 * float(today)))
        for word, score, then, today in zip(words, scores, old, new, strict=True)
        if abs(score) >= least
    ]
    moved.sort(key=lambda item: (-abs(item[0]), item[1].word))
    more, less = ([item for score, item in moved if score * sign > 0][:count] for sign in (1, -1))
    return more, less


def _texts_with(texts: Sequence[str]) -> Counter[str]:
    return Counter(word for text in texts for word in set(tokenize(text)))


_TOPICS = 10
_WORDS = 5
_MOST_TEXTS = 1000
"""Of either side: topics are for reading, and so many show them."""
_MIN_TEXTS = 5
"""A word of fewer texts is not named: it may be a person's, and it is no trend."""
_LEVEL = 0.01


@dataclass(frozen=True, slots=True)
class ChangedTopic:
    """A topic, and how many texts are mostly about it."""

    words: tuple[str, ...]
    before: float
    """Share of reference texts."""
    now: float
    """Share of live texts."""


def changed_topics(reference: Sequence[str], window: Sequence[str]) -> list[ChangedTopic]:
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
    except ValueError:  # no word is in so many texts
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
            moved.append(ChangedTopic(words, before, now))
    return sorted(moved, key=lambda topic: -abs(topic.now - topic.before))


def _some(texts: Sequence[str]) -> list[str]:
    return list(texts[:: math.ceil(len(texts) / _MOST_TEXTS) or 1])


def _telling_words(text: str) -> list[str]:
    return [word for word in tokenize(text) if len(word) > 2 and word not in ENGLISH_STOP_WORDS]
