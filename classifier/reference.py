"""`reference.parquet`: the held-out texts with the model's predictions, which monitoring compares with.

One row a text. Columns: `text`, `label` (true), `predicted`, `confidence` (probability of `predicted`), `tokens`
(of the whole text), `truncated`, and `p_<label>` for each label; where live texts were held out, also `origin`
(`source`, `live`: traffic of the time of training, `earlier_live`: traffic from before it changed); of a cascade also
`stage` (which answered; a categorical whose categories are all stages in their order) and `all_stages` (the label where
every text goes through all stages). Written by
training, read by monitoring; it needs pandas and pyarrow, which serving does not have, so nothing else of this room
imports it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.errors import BundleDamaged, BundleIncomplete
from classifier.predictor import Predictions
from classifier.runtime import Probabilities

if TYPE_CHECKING:
    import pandas

REFERENCE_FILE = "reference.parquet"
PROBABILITY_PREFIX = "p_"
ORIGIN, LIVE_ORIGIN = "origin", "live"
STAGE, ALL_STAGES = "stage", "all_stages"
COLUMNS = ("text", "label", "predicted", "confidence", "tokens", "truncated")


def reference_frame(
    texts: Sequence[str],
    true_labels: Sequence[str],
    predictions: Predictions,
    labels: Sequence[str],
    *,
    origins: Sequence[str] | None = None,
    stages: Sequence[str] = (),
    all_stages: Probabilities | None = None,
) -> pandas.DataFrame:
    """The reference profile of held-out texts as a data frame.

    Args:
        texts: the texts, as traffic will send them.
        true_labels: one a text.
        predictions: what the model says of them, answered as it will be in serving.
        labels: in the order of the probability columns.
        origins: one a text, where live texts were held out.
        stages: `Classifier.stages`; empty for a model without stages.
        all_stages: of a cascade, probabilities where every text goes through all stages.
    """
    import pandas as pd

    best = predictions.probabilities.argmax(axis=1)
    columns: dict[str, Any] = {
        "text": list(texts),
        "label": list(true_labels),
        "predicted": [labels[i] for i in best],
        "confidence": predictions.probabilities.max(axis=1),
        "tokens": predictions.tokens,
        "truncated": predictions.truncated,
    }
    if origins is not None:
        columns["origin"] = list(origins)
    if stages:
        columns[STAGE] = pd.Categorical.from_codes(predictions.stages.tolist(), list(stages), ordered=True)
    if all_stages is not None:
        columns[ALL_STAGES] = [labels[i] for i in all_stages.argmax(axis=1)]
    for position, label in enumerate(labels):
        columns[PROBABILITY_PREFIX + label] = predictions.probabilities[:, position]
    return pd.DataFrame(columns)


def write_reference(folder: Path, frame: pandas.DataFrame) -> None:
    """Write `reference.parquet` into `folder`."""
    frame.to_parquet(folder / REFERENCE_FILE, index=False)


def read_reference(folder: Path) -> pandas.DataFrame:
    """Read `reference.parquet` of a bundle.

    Raises:
        BundleIncomplete: the file is missing.
        BundleDamaged: it cannot be read, or lacks a column.
    """
    import pandas as pd

    path = folder / REFERENCE_FILE
    if not path.is_file():
        raise BundleIncomplete(f"{path} is missing: this model has no reference profile to compare with")
    try:
        frame = pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise BundleDamaged(f"{path} cannot be read: {error}") from None
    if missing := [name for name in COLUMNS if name not in frame.columns]:
        raise BundleDamaged(f"{path} lacks the column {missing[0]!r}")
    return frame
