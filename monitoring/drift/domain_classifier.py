"""The signal `text_content`: AUC of a domain classifier that separates live from reference texts (Evidently's)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pydantic import Field

from monitoring.drift.permutation import Floats, Score, auc_score, preserve_rng_state
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
    """AUC of Evidently's `abs_text_content_drift`, and its null at these sizes.

    Evidently trains on one half of the texts and scores the other half. Texts must be distinct: a text in both halves
    would be memorised.

    Raises:
        NotComparable: Evidently finds no words.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    definition = DataDefinition(text_columns=["text"])
    before, now = (
        Dataset.from_pandas(pd.DataFrame({"text": list(texts)}), data_definition=definition)
        for texts in (reference, window)
    )
    with preserve_rng_state():
        try:
            snapshot = Report([ValueDrift(column="text", method="abs_text_content_drift")]).run(now, before)
        except ValueError as error:  # "empty vocabulary", "no terms remain"
            raise NotComparable(f"Evidently could not compare the words: {error}") from None
    auc = float(snapshot.dict()["metrics"][0]["value"])
    if np.isnan(auc):
        raise NotComparable("Evidently could not compare the words: one half held one side only")
    return auc_score(auc, *_held_out_sizes(len(reference), len(window)))


def _held_out_sizes(reference: int, window: int) -> tuple[int, int]:
    """Texts of each side in the half that Evidently scores: it splits with a fixed seed."""
    from sklearn.model_selection import train_test_split

    sides = np.concatenate([np.zeros(reference), np.ones(window)])
    held_out = train_test_split(sides, test_size=0.5, random_state=42, shuffle=True)[1]
    return int((held_out == 0).sum()), int((held_out == 1).sum())
