"""The domain classifier of `text_content`: Evidently's number without Evidently."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from monitoring.drift.domain_classifier import content_score
from monitoring.drift.signal import NotComparable
from tests.monitoring.conftest import mistyped, normal
from tests.support.bundles import bbc_part


@pytest.mark.parametrize("share", [0.0, 0.05])
def test_score_equals_evidentlys(share: float) -> None:
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    reference, window = bbc_part(1)[0], mistyped(normal(90)[0], share)
    definition = DataDefinition(text_columns=["text"])
    before, now = (
        Dataset.from_pandas(pd.DataFrame({"text": texts}), data_definition=definition)
        for texts in (reference, window)
    )
    metric = ValueDrift(column="text", method="abs_text_content_drift")
    snapshot = Report([metric]).run(now, before)
    state = np.random.get_state()[1][:5].tolist()
    assert content_score(reference, window).value == pytest.approx(snapshot.dict()["metrics"][0]["value"])
    assert np.random.get_state()[1][:5].tolist() == state, "numpy's global generator was used"


def test_texts_without_words_are_not_comparable() -> None:
    numbers = [f"{number} + {number}" for number in range(60)]
    with pytest.raises(NotComparable, match="vocabulary"):
        content_score([f"! {place % 10}" for place in range(60)], ["?" * place for place in range(1, 60)])
    with pytest.raises(NotComparable, match="one side only"):
        content_score(numbers, numbers[:1])
