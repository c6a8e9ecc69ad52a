"""The signal `new_matter`: a part of the window whose texts are of a kind that the reference lacks.

The AUC of `text_content` averages over all pairs, so a tenth of new texts moves it by five points at most. Here the
texts are ranked by a domain classifier that did not see them (logistic regression on TF-IDF of words as they are
written and of punctuation, five folds), and the top of the ranking is scanned: for each k the count of live texts among
the first k is compared with what an even mix would have, in standard errors, and the largest excess is the statistic
(a scan statistic; for classifier two-sample tests see Lopez-Paz and Oquab 2017, arXiv:1610.06545). Its null follows
from the counts alone: without a difference every order of live and reference texts is as likely.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from monitoring.drift.permutation import Floats, PermutationSampler, Score, permutation_score
from monitoring.drift.signal import (
    Comparison,
    DriftData,
    DriftSignal,
    NotComparable,
    Sides,
    SignalSettings,
    register_signal,
)
from monitoring.drift.text_features import measured_reference, tokenize, words_of_window
from monitoring.verdict import ChangedPart

_FOLDS = 5
_FIRST = 5
"""Texts that the top of the ranking has at least."""
_LARGEST = 0.25
"""Share of all texts that it has at most, where the window does not have more."""
_SEED = 20
_TOKEN = r"\w+|[^\w\s]"
_CHARACTERS = 2000
"""Of each text that are read."""
_IDS = 20
_TERMS = 8
_TEXTS_OF_A_TERM = 5
"""A word of fewer texts is not named: it may tell of a person."""


class NewMatterSettings(SignalSettings):
    """Effect floor of `new_matter`."""

    monitoring_min_new_share: float = Field(default=0.03, ge=0, le=1)
    """Effect floor of new matter: share of the window's texts that are of a kind which the reference lacks."""


@dataclass(frozen=True, slots=True)
class Excess:
    """The top of the ranking that holds the most live texts beyond an even mix."""

    score: Score
    """Value and critical values are shares of the window's texts."""
    members: list[int]
    """Positions of the window's texts in that top, the most typical first."""


@register_signal
class NewMatter(DriftSignal):
    """Texts of a kind that the reference lacks, in a part of the window."""

    name, title, unit, order = "new_matter", "New matter", "share of texts", 15
    measure = "Share of the texts that are of a kind which the reference lacks"
    settings_class = NewMatterSettings
    settings: NewMatterSettings
    needs_text = True
    possible_cause = "new subjects, or another source of texts"

    def floor(self, data: DriftData) -> float:  # noqa: ARG002
        """MONITORING_MIN_NEW_SHARE."""
        return self.settings.monitoring_min_new_share

    def sides(self, data: DriftData) -> Sides:
        """The texts; those of the window that are in the reference are left out."""
        return Sides(data.reference_texts, data.novel_texts)

    def score(self, comparison: Comparison, data: DriftData) -> Score:
        """The largest excess of live texts at the top of the ranking, with its null."""
        found = find_excess(
            list(map(str, comparison.reference)),
            list(map(str, comparison.window)),
            data.sampler,
            floor=comparison.floor,
        )
        comparison.part = _described(comparison, data, found)
        return found.score

    def describe(self, comparison: Comparison) -> str:
        """How many texts, and their words."""
        part = comparison.part
        if part is None or part.share <= 0:
            return "no part of the texts is unlike the reference"
        words = f"; words of these: {', '.join(part.terms)}" if part.terms else ""
        return f"about {part.share:.0%} of texts are of a kind that the reference lacks{words}"


def find_excess(
    reference: Sequence[str], window: Sequence[str], sampler: PermutationSampler, *, floor: float = 0.0
) -> Excess:
    """Rank the texts of both sides by how surely they are live, and find the top with the most live texts.

    Args:
        reference: texts.
        window: texts, none of which is in the reference.
        sampler: the windows by chance.
        floor: share of the window below which an excess is passed over, if another one is above.

    Raises:
        NotComparable: the texts have no words.
    """
    live = np.arange(len(reference) + len(window)) >= len(reference)
    ranking = np.argsort(-_out_of_fold_ranks([*reference, *window], live), kind="stable")
    sizes = _tops(len(reference), len(window))
    spread = _spread(sizes, len(reference), len(window))
    own = _excess(live[ranking][None, :], sizes) / spread
    null = np.concatenate(
        [
            (_excess(drawn, sizes) / spread).max(axis=1)
            for drawn in sampler.blocks(len(reference), len(window))
        ]
    )
    # From texts beyond an even mix to a share: live texts less what reference texts beside them make likely.
    shares_of = spread * len(live) / (len(window) * len(reference))
    above = own[0] * shares_of >= floor
    best = int(np.where(above, own[0], -np.inf).argmax() if above.any() else own[0].argmax())
    found = permutation_score(float(own[0, best]), null)
    share_of = float(shares_of[best])
    top = ranking[: sizes[best]]
    return Excess(
        Score(float(own[0, best]) * share_of, found.p_value, lambda level: found.critical(level) * share_of),
        [int(place) - len(reference) for place in top if live[place]],
    )


def _out_of_fold_ranks(texts: Sequence[str], live: NDArray[np.bool_]) -> Floats:
    """Of each text the rank of its score in its fold, 0 to 1: the scores of different folds cannot be compared."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    vectorizer = TfidfVectorizer(token_pattern=_TOKEN, lowercase=False, sublinear_tf=True, min_df=3)
    try:
        weights = vectorizer.fit_transform([text[:_CHARACTERS] for text in texts]).tocsr()
    except ValueError:  # no token occurs in three texts
        raise NotComparable("The texts have too few words in common to be ranked.") from None
    rng = np.random.default_rng(_SEED)
    fold = np.empty(len(texts), dtype=int)
    for side in (False, True):
        places = np.flatnonzero(live == side)
        fold[places] = rng.permutation(np.arange(len(places)) % _FOLDS)
    ranks = np.empty(len(texts))
    for held_out in range(_FOLDS):
        inside = fold == held_out
        model = LogisticRegression(class_weight="balanced", solver="liblinear", tol=0.01, random_state=0)
        model.fit(weights[~inside], live[~inside])
        scores = model.decision_function(weights[inside])
        order = np.lexsort((rng.random(len(scores)), scores))
        ranks[np.flatnonzero(inside)[order]] = (np.arange(len(scores)) + rng.random()) / len(scores)
    return ranks


def _tops(reference: int, window: int) -> NDArray[np.int64]:
    size = reference + window
    return np.arange(_FIRST, min(size - _FIRST, max(int(size * _LARGEST), window)) + 1)


def _excess(live: NDArray[np.bool_], sizes: NDArray[np.int64]) -> Floats:
    """Live texts among the first k of each row, less what an even mix would have; (rows, tops)."""
    count = np.cumsum(live, axis=1, dtype=np.int32)
    # A view: the sizes follow one another.
    excess: Floats = count[:, sizes[0] - 1 : sizes[-1]] - sizes * (count[:, -1:] / live.shape[1])
    return excess


def _spread(sizes: NDArray[np.int64], reference: int, window: int) -> Floats:
    """Standard deviation of that count (hypergeometric); (tops,)."""
    size = reference + window
    share = window / size
    spread: Floats = np.sqrt(sizes * share * (1 - share) * (size - sizes) / (size - 1))
    return spread


def _described(comparison: Comparison, data: DriftData, found: Excess) -> ChangedPart:
    texts = list(map(str, comparison.window))
    reference = measured_reference(tuple(data.reference_texts)).words
    return ChangedPart(
        share=round(max(0.0, found.score.value), 4),
        texts=round(max(0.0, found.score.value) * len(texts)),
        ids=[data.window.novel[place].id for place in found.members[:_IDS]],
        terms=_terms(
            [set(tokenize(texts[place])) for place in found.members],
            (reference.texts_with, data.once(words_of_window).texts_with),
            len(comparison.reference) + len(texts),
        ),
    )


def _terms(part: Sequence[set[str]], texts_with: Sequence[Counter[str]], texts: int) -> list[str]:
    """Words that more of the part's texts have than of the rest, by the weighted log-odds of their shares.

    Args:
        part: words of each text of the part.
        texts_with: of the reference and of the window: word → how many of its texts have it.
        texts: how many both have.
    """
    inside = Counter(word for words in part for word in words)

    def weight(word: str) -> float:
        odds = [
            np.log((count + 0.5) / (total - count + 0.5))
            for count, total in (
                (inside[word], len(part)),
                (sum(side[word] for side in texts_with) - inside[word], texts - len(part)),
            )
        ]
        return float((odds[0] - odds[1]) * np.sqrt(inside[word]))

    named = [word for word, count in inside.items() if count >= _TEXTS_OF_A_TERM and len(word) > 1]
    return [
        word for word in sorted(named, key=lambda word: (-weight(word), word))[:_TERMS] if weight(word) > 0
    ]
