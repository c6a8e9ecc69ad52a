"""The signal `text_content`: AUC of a domain classifier that separates live from reference texts (Evidently's)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from pydantic import Field

from monitoring.drift.permutation import Floats, Score, auc_score
from monitoring.drift.signal import (
    MAX_FEATURES,
    Comparison,
    DriftData,
    DriftSignal,
    NotComparable,
    Sides,
    SignalSettings,
    register_signal,
)

_SPLIT = 42
"""Evidently's seed of the halves and of the classifier."""


class TextContentSettings(SignalSettings):
    """Effect floor of `text_content`."""

    monitoring_min_text_auc: float = Field(default=0.55, ge=0.5, lt=1)
    """Effect floor of text content: AUC of a classifier that separates reference and live texts; 0.5 is chance."""


@register_signal
class TextContent(DriftSignal):
    """Whether a classifier can separate live from reference texts."""

    name, title, unit, order = "text_content", "Text content", "AUC", 10
    measure = "AUC of a classifier that separates reference and live texts"
    settings_class = TextContentSettings
    settings: TextContentSettings
    needs_text = True
    score_without_change = 0.5
    possible_cause = "new subjects, or another source of texts"
    evidently_type = "text"
    evidently_method = "abs_text_content_drift"

    def floor(self, data: DriftData) -> float:  # noqa: ARG002
        """MONITORING_MIN_TEXT_AUC."""
        return self.settings.monitoring_min_text_auc

    def sides(self, data: DriftData) -> Sides:
        """The texts; those of the window that are in the reference are left out."""
        return Sides(
            data.reference_texts, data.novel_texts, times=[row.created_at for row in data.window.novel]
        )

    def score(self, comparison: Comparison, data: DriftData) -> Score:  # noqa: ARG002
        """The held-out AUC with its null."""
        return content_score(list(map(str, comparison.reference)), list(map(str, comparison.window)))

    def describe(self, comparison: Comparison) -> str:
        """The AUC in words."""
        assert comparison.score is not None
        return (
            f"a classifier ranks a live text above a reference text in {comparison.score.value:.0%} of pairs; "
            "chance is 50%"
        )

    def features(self, comparison: Comparison) -> Floats | None:
        """The first directions of TF-IDF (latent semantic analysis); None where the texts have too few words."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer

        texts = [*map(str, comparison.reference), *map(str, comparison.window)]
        try:
            weights = TfidfVectorizer(sublinear_tf=True, min_df=2, max_features=5000).fit_transform(texts)
        except ValueError:  # no word occurs in two texts
            return None
        if weights.shape[1] <= MAX_FEATURES:
            return None
        directions: Floats = TruncatedSVD(MAX_FEATURES, random_state=0).fit_transform(weights)
        return directions


def content_score(reference: Sequence[str], window: Sequence[str]) -> Score:
    """AUC of a domain classifier, as Evidently's `abs_text_content_drift` computes it, and its null at these sizes.

    It learns from one half of the texts (TF-IDF, linear, L1) and scores the other half. Texts must be distinct: a text
    in both halves would be memorised. Evidently itself is not imported, which would take longer than the measurement;
    a test holds the two to the same number.

    Raises:
        NotComparable: no words to tell them apart by, or a half with one side only.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import SGDClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import train_test_split

    texts = np.array([*reference, *window], dtype=object)
    sides = np.repeat([0, 1], [len(reference), len(window)])
    learned, scored, of_learned, of_scored = train_test_split(
        texts, sides, test_size=0.5, random_state=_SPLIT, shuffle=True
    )
    if min(len(np.unique(of_learned)), len(np.unique(of_scored))) < 2:
        raise NotComparable("The words could not be compared: one half held one side only")
    vectorizer = TfidfVectorizer(sublinear_tf=True, max_df=0.5, stop_words="english")
    classifier = SGDClassifier(
        alpha=0.0001, max_iter=50, penalty="l1", loss="modified_huber", random_state=_SPLIT
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            classifier.fit(vectorizer.fit_transform(learned), of_learned)
        except ValueError as error:  # "empty vocabulary", "no terms remain"
            raise NotComparable(f"The words could not be compared: {error}") from None
    likeness = classifier.predict_proba(vectorizer.transform(scored))[:, 1]
    held_out = int((of_scored == 0).sum()), int((of_scored == 1).sum())
    return auc_score(float(roc_auc_score(of_scored, likeness)), *held_out)
