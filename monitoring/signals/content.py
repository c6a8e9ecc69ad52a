"""Text content: can a classifier tell live texts from reference texts? Evidently's domain classifier, calibrated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from monitoring.signals.chance import Score, auc_score
from monitoring.signals.comparison import NothingToCompare
from monitoring.signals.quiet import numpy_state_kept


def content_score(reference: Sequence[str], window: Sequence[str]) -> Score:
    """AUC of Evidently's `abs_text_content_drift`, and its null at these sizes.

    Evidently trains on one half of the texts and scores the other, so the score is held out. Texts must be distinct:
    one that stands in both halves would be recognised, not judged.

    Raises:
        NothingToCompare: Evidently finds no words.
    """
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    definition = DataDefinition(text_columns=["text"])
    before, now = (
        Dataset.from_pandas(pd.DataFrame({"text": list(texts)}), data_definition=definition)
        for texts in (reference, window)
    )
    with numpy_state_kept():
        try:
            snapshot = Report([ValueDrift(column="text", method="abs_text_content_drift")]).run(now, before)
        except ValueError as error:  # "empty vocabulary", "no terms remain"
            raise NothingToCompare(f"Evidently could not compare the words: {error}") from None
    auc = float(snapshot.dict()["metrics"][0]["value"])
    if np.isnan(auc):
        raise NothingToCompare("Evidently could not compare the words: one half held one side only")
    return auc_score(auc, *_held_out_sizes(len(reference), len(window)))


def _held_out_sizes(reference: int, window: int) -> tuple[int, int]:
    """How many texts of each side stand in the half that Evidently scores: it splits with a fixed seed."""
    sides = np.concatenate([np.zeros(reference), np.ones(window)])
    held_out = train_test_split(sides, test_size=0.5, random_state=42, shuffle=True)[1]
    return int((held_out == 0).sum()), int((held_out == 1).sum())
