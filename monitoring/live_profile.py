"""Live predictions in the form of a reference profile, so that a window can be compared with them."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from classifier.reference import PROBABILITY_PREFIX, STAGE
from stores.predictions import LabelledPrediction


def live_profile(
    rows: Sequence[LabelledPrediction], reference: pd.DataFrame, *, with_text: bool
) -> pd.DataFrame:
    """Predictions with those columns of `reference` that can be computed without true labels.

    Args:
        rows: predictions, each text once.
        reference: of the version that answered, as in `classifier.reference`.
        with_text: leave out the rows whose text is gone.
    """
    if with_text:
        rows = [row for row in rows if row.redacted_at is None]
    columns: dict[str, object] = {
        "text": [row.text for row in rows],
        "predicted": [row.label for row in rows],
        "confidence": [row.score for row in rows],
    }
    for column in reference.columns:
        if column.startswith(PROBABILITY_PREFIX):
            label = column.removeprefix(PROBABILITY_PREFIX)
            columns[column] = [row.scores.get(label, 0.0) for row in rows]
    if STAGE in reference and all(row.stage is not None for row in rows):
        columns[STAGE] = pd.Categorical([row.stage for row in rows], dtype=reference[STAGE].dtype)
    return pd.DataFrame(columns)
