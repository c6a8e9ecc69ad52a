"""Active learning: which texts to label next. Uncertain ones, novel ones, and a random sample of all.

Each prediction has an inclusion probability, and the sampling design realises it exactly. From these probabilities
`monitoring.labels.weighting` estimates the accuracy on *all* traffic, although difficult texts were preferred.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from stores.predictions import LabelledPrediction
from stores.predictions.queue import Chosen

UNCERTAIN, NEW, RANDOM = "uncertain", "new", "random"
SHARES = {NEW: 0.2, UNCERTAIN: 0.35, RANDOM: 0.45}
"""Expected shares of a batch. Ties between "new" and "uncertain" are reported as new."""
_POOL = 4
"""Sample from the top 4k candidates instead of taking the top k, so that every inclusion probability is below 1."""
_MAX_REFERENCE = 2000

Floats = NDArray[np.float64]


def choose(
    rows: Sequence[LabelledPrediction],
    reference: Sequence[str],
    size: int,
    rng: np.random.Generator,
    *,
    read: float = 1.0,
) -> list[Chosen]:
    """Sample predictions with `size` distinct unlabelled texts, or all of them if there are fewer.

    Labelled texts are sampled in addition, at the rate of the random part: they need no work, and without them the
    sample would not represent all texts. Of a repeated text one prediction is sampled at random.

    Args:
        rows: the candidates.
        reference: texts against which novelty is measured.
        size: number of texts to label.
        rng: for sampling.
        read: sampling fraction of `rows`, where they are a random sample of the window.

    Returns:
        All of the rows if there are at most `size`; in random order, so that the first half is a random half.
    """
    if not rows:
        return []
    names = list(SHARES)
    if len(rows) <= size:
        return [Chosen(rows[i].id, read, RANDOM) for i in rng.permutation(len(rows))]
    copies = _copies(rows)
    first = [rows[places[0]] for places in copies]
    numbers = np.array([len(places) for places in copies])
    parts = inclusion_probabilities(first, novelty([row.text for row in first], reference), size, numbers)
    probability = np.minimum(parts.sum(axis=1), 1.0)
    chosen = []
    for known in (False, True):  # apart, so that neither takes from the other's number
        of_kind = np.flatnonzero([(row.true_label is not None) == known for row in first])
        drawn = systematic_sample(probability[of_kind], [first[i].label for i in of_kind], rng)
        for text in of_kind[drawn]:
            # Copies with a known label come first.
            places = copies[text][:1] if known else copies[text]
            row = rows[places[int(rng.integers(len(places)))]]
            likely = float(probability[text] / numbers[text] * read)
            chosen.append(Chosen(row.id, likely, names[int(parts[text].argmax())]))
    return [chosen[i] for i in rng.permutation(len(chosen))]


def inclusion_probabilities(
    rows: Sequence[LabelledPrediction], new: Floats, size: int, numbers: NDArray[np.int64] | None = None
) -> Floats:
    """Probability that each text is sampled as new, as uncertain and at random; (texts, 3).

    The random part covers every text: each predicted label gets a share of it by the square root of its number of
    predictions (Bankier 1988, "Power allocations"), so that rare labels are not missed, and a text of it by its number
    of copies. Uncertain and new texts are drawn evenly from the most uncertain and the newest without a label. The
    probabilities of the texts without a label add up to `size`, or are all 1 where there are no more.

    Args:
        rows: one prediction of each text.
        new: how new each is.
        size: how many without a label are wanted.
        numbers: how often each text was predicted; None: once.
    """
    count = len(rows)
    times = np.ones(count) if numbers is None else numbers.astype(np.float64)
    parts = np.zeros((count, len(SHARES)))
    open_ = np.array([row.true_label is None for row in rows])
    for position, (name, score) in enumerate(((NEW, new), (UNCERTAIN, _uncertainty(rows)))):
        wanted = size * SHARES[name]
        pool = np.flatnonzero(open_)
        pool = pool[np.argsort(-score[pool], kind="stable")][: round(_POOL * wanted)]
        if len(pool):
            parts[pool, position] = min(1.0, wanted / len(pool))
    labels: Counter[str] = Counter()
    for row, number in zip(rows, times.tolist(), strict=True):
        labels[row.label] += number
    rate = np.array(
        [number / np.sqrt(labels[row.label]) for row, number in zip(rows, times.tolist(), strict=True)]
    )
    reached = parts.sum(axis=1)
    wanted = min(float(size), float(open_.sum()))
    share = _multiple(reached[open_], rate[open_], wanted) if open_.any() else 0.0
    if open_.sum() <= size:  # all of them: the others then by what the random part would be of all
        share = _multiple(np.zeros(count), rate, min(float(size), float(count)))
        parts[open_, 2] = np.maximum(1.0 - reached[open_], 0.0)
        parts[~open_, 2] = np.minimum(1.0, share * rate[~open_])
        return parts
    parts[:, 2] = np.minimum(share * rate, np.maximum(1.0 - reached, 0.0))
    return parts


def _multiple(reached: Floats, rate: Floats, wanted: float) -> float:
    """The factor of `rate` with which the probabilities, none above 1, add up to `wanted` (by bisection)."""
    low, high = 0.0, 1.0 / float(rate.min())
    for _ in range(200):
        middle = (low + high) / 2
        if float(np.minimum(reached + middle * rate, 1.0).sum()) < wanted:
            low = middle
        else:
            high = middle
    return high


def systematic_sample(
    probability: Floats, strata: Sequence[str], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Systematic sampling with unequal probabilities (Madow 1949): positions of the sample.

    Positions are passed in random order, stratum by stratum, so that each stratum gets its share.
    """
    order = sorted(rng.permutation(len(probability)).tolist(), key=lambda i: strata[i])
    # Rounded, so that probabilities that add up to a whole number draw exactly that many.
    reached = np.floor(np.round(np.cumsum(probability[order]), 9) + rng.random())
    drawn: NDArray[np.int64] = np.asarray(order, dtype=np.int64)[np.diff(reached, prepend=0.0) > 0]
    return drawn


def novelty(texts: Sequence[str], reference: Sequence[str]) -> Floats:
    """1 less the cosine of each text with the reference text most like it, in TF-IDF of words; 1 is wholly new."""
    if not texts or not reference:
        return np.ones(len(texts))
    step = max(1, len(reference) // _MAX_REFERENCE)
    vectorizer = TfidfVectorizer(sublinear_tf=True)
    try:
        vectorizer.fit([*reference[::step], *texts])
    except ValueError:  # no words at all
        return np.ones(len(texts))
    known = vectorizer.transform(reference[::step]).T.tocsr()
    found = vectorizer.transform(texts)
    block = 500
    nearest = [
        np.asarray((found[start : start + block] @ known).max(axis=1).todense()).ravel()
        for start in range(0, len(texts), block)
    ]
    result: Floats = 1.0 - np.concatenate(nearest)
    return result


def _uncertainty(rows: Sequence[LabelledPrediction]) -> Floats:
    """1 less the margin between the two likeliest labels."""
    margins = []
    for row in rows:
        best = sorted(row.scores.values(), reverse=True)[:2]
        margins.append(best[0] - best[1] if len(best) == 2 else 1.0)
    return 1.0 - np.array(margins)


def _copies(rows: Sequence[LabelledPrediction]) -> list[list[int]]:
    """Positions of every text, labelled ones first."""
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        places.setdefault(row.text, []).append(place)
    return [sorted(of_text, key=lambda place: rows[place].true_label is None) for of_text in places.values()]
