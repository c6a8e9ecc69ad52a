"""What the demo's retraining is told: at the first breach, with few labels, and quickly."""

from __future__ import annotations

import shlex

_QUICK = {
    "quickstart": (
        "candidates.cascade=null",
        "candidates.minilm_3=null",
        "candidates.tfidf_catboost=null",
        "baselines_may_win=true",
    )
}
"""Experiment → what keeps its retraining short: of the quickstart, the linear models, which train in seconds."""
_HELD_OUT = 0.5
"""Share of the live texts to judge by, which monitoring then compares with: the demo has few."""


def retraining_settings(experiment: str) -> dict[str, str]:
    """Environment of `monitoring check --on-breach retrain` for the champion of the demo's `experiment`.

    The experiment itself travels with the champion. A real service should keep the defaults: two breached windows of
    three, 200 labels, a day between two.
    """
    sets = [f"data.live.test={_HELD_OUT}", *_QUICK.get(experiment, ())]
    return {
        "RETRAIN_WINDOWS": "1",
        "RETRAIN_BREACHES": "1",
        "RETRAIN_MIN_LABELS": "100",
        "RETRAIN_SET": shlex.join(sets),
    }
