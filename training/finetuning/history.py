"""A training's history, read from the Trainer's log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from training.candidates.trained import History

Entry = Mapping[str, Any]
"""One entry of a Trainer's log: `step`, `epoch`, and either the training's figures or, as `eval_…`, an evaluation's."""

_EVALUATION = "eval_"
_FIGURES = {
    "loss": "validation_loss",
    "accuracy": "accuracy",
    "macro_f1": "macro_f1",
    "macro_precision": "macro_precision",
    "macro_recall": "macro_recall",
}


def evaluated(entry: Entry) -> dict[str, float]:
    """An evaluation's figures by our names; empty for another entry."""
    return {
        ours: float(entry[_EVALUATION + theirs])
        for theirs, ours in _FIGURES.items()
        if _EVALUATION + theirs in entry
    }


def history_of(log: Sequence[Entry]) -> History:
    """What training curves are drawn from.

    `train_loss` of an evaluation is the mean over the steps since the one before it.
    """
    epochs: list[dict[str, float]] = []
    losses: list[tuple[float, float]] = []
    last = total = since = 0.0
    for entry in log:
        if "loss" in entry:
            steps = entry["step"] - last
            last = entry["step"]
            total, since = total + steps * entry["loss"], since + steps
            losses.append((float(entry["epoch"]), float(entry["loss"])))
        elif quality := evaluated(entry):
            mean = {"train_loss": total / since} if since else {}
            epochs.append({"epoch": round(float(entry["epoch"]), 4), **mean, **quality})
            total = since = 0.0
    return History(epochs, losses, [dict(entry) for entry in log])
