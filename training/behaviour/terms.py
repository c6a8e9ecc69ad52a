"""The words that tell a class from the others, found in labelled texts."""

from __future__ import annotations

import numpy as np

from training.data import Part

_LEAST_TEXTS = 3
_PRIOR = 500.0


def telling_terms(part: Part, count: int) -> dict[str, list[str]]:
    """Label → its `count` most telling words in `part`, the most telling first; fewer where it has fewer.

    Words are ranked by the z-score of their log-odds with an informative Dirichlet prior (Monroe, Colaresi and Quinn
    2008, *Fightin' Words*, Political Analysis 16:4), counted once a text: a word that a few texts repeat tells little.
    """
    from sklearn.feature_extraction.text import CountVectorizer

    vectorizer = CountVectorizer(
        binary=True, stop_words="english", min_df=min(_LEAST_TEXTS, max(1, len(part) // 20)),
        token_pattern=r"(?u)\b[^\W\d_]{3,}\b", max_features=20_000,
    )  # fmt: skip
    try:
        present = vectorizer.fit_transform(part.texts)
    except ValueError:  # not one word that stands in enough texts
        return {label: [] for label in sorted(set(part.labels))}
    words = vectorizer.get_feature_names_out()
    labels = np.asarray(part.labels)
    overall = np.asarray(present.sum(axis=0), dtype=np.float64).ravel()
    prior = _PRIOR * overall / overall.sum()
    found = {}
    for label in sorted(set(part.labels)):
        here = np.asarray(present[labels == label].sum(axis=0), dtype=np.float64).ravel()
        score = _log_odds(here, prior) - _log_odds(overall - here, prior)
        z = score / np.sqrt(1 / (here + prior) + 1 / (overall - here + prior))
        best = np.argsort(-z, kind="stable")[:count]
        found[label] = [str(words[index]) for index in best if z[index] > 0]
    return found


def _log_odds(counts: np.ndarray, prior: np.ndarray) -> np.ndarray:
    total = counts.sum() + prior.sum()
    odds: np.ndarray = np.log((counts + prior) / (total - counts - prior))
    return odds
