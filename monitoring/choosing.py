"""Which texts to label next: uncertain ones, new ones, and a random part over everything.

Each prediction gets a probability of being chosen, and the draw keeps to it exactly. That is what later makes it
possible to say how accurate the model is on *all* traffic from labels of texts that were chosen because they are
difficult (`monitoring.sampling`).
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
"""What a batch is made of, by expected number of texts. What is as likely chosen for being new as for being uncertain
is called new, which says why it is uncertain."""
_POOL = 4
"""Uncertain and new texts are drawn from so many times as many candidates: the first of all would always be chosen,
and would stand for nothing but themselves."""
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
    """Draw `size` predictions.

    Args:
        rows: to choose from.
        reference: texts that count as known.
        size: how many.
        rng: for the draw.
        read: the probability that a prediction of the window came to be in `rows`, where it is a random sample.

    Returns:
        All of the rows where there are no more than `size`; in random order, so that whoever stops half-way has
        labelled a random half.
    """
    if not rows:
        return []
    parts = inclusion(rows, novelty([row.text for row in rows], reference), size)
    # A row that is in several parts may reach more than 1.
    probability = np.minimum(parts.sum(axis=1), 1.0)
    drawn = systematic(probability, [row.label for row in rows], rng)
    names = list(SHARES)
    return [
        Chosen(rows[i].id, float(probability[i] * read), names[int(parts[i].argmax())])
        for i in rng.permutation(drawn)
    ]


def inclusion(rows: Sequence[LabelledPrediction], new: Floats, size: int) -> Floats:
    """How likely each row is to be chosen as new, as uncertain and at random; (rows, 3).

    The random part covers every row: each predicted label gets a share of it by the square root of its number
    (Bankier 1988, "Power allocations"), so that rare labels are not missed. Uncertain and new rows are drawn evenly
    from the most uncertain and the newest; texts that have a label, and repeated ones, are not among those.
    """
    count = len(rows)
    parts = np.zeros((count, len(SHARES)))
    if count <= size:
        parts[:, 2] = 1.0
        return parts
    first = _first_copies(rows)
    open_ = np.array([row.true_label is None for row in rows]) & first
    for position, (name, score) in enumerate(((NEW, new), (UNCERTAIN, _uncertainty(rows)))):
        wanted = size * SHARES[name]
        pool = np.flatnonzero(open_)
        pool = pool[np.argsort(-score[pool], kind="stable")][: round(_POOL * wanted)]
        if len(pool):
            parts[pool, position] = min(1.0, wanted / len(pool))
    # What the other parts could not use falls to the random one.
    left = size - parts.sum()
    labels = Counter(row.label for row in rows)
    roots = {label: np.sqrt(number) for label, number in labels.items()}
    total = sum(roots.values())
    parts[:, 2] = [min(1.0, left * roots[row.label] / total / labels[row.label]) for row in rows]
    return parts


def systematic(probability: Floats, strata: Sequence[str], rng: np.random.Generator) -> NDArray[np.int64]:
    """Positions of a draw in which each position stands with exactly its probability (Madow 1949).

    The positions are passed in random order, stratum by stratum, so that each stratum gets its share.
    """
    order = sorted(rng.permutation(len(probability)).tolist(), key=lambda i: strata[i])
    reached = np.floor(np.cumsum(probability[order]) + rng.random())
    steps = np.diff(reached, prepend=0.0) > 0
    return np.asarray(order, dtype=np.int64)[steps]


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


def _first_copies(rows: Sequence[LabelledPrediction]) -> NDArray[np.bool_]:
    seen: set[str] = set()
    first = []
    for row in rows:
        first.append(row.text not in seen)
        seen.add(row.text)
    return np.array(first)
