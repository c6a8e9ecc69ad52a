"""What an evaluation during training measures."""

from __future__ import annotations

import numpy as np
from sklearn.metrics import accuracy_score, precision_recall_fscore_support
from transformers import EvalPrediction


def compute_metrics(prediction: EvalPrediction) -> dict[str, float]:
    """Accuracy, and precision, recall and F1 as means over labels; 0 where there is nothing to divide by."""
    logits, truth = prediction.predictions, prediction.label_ids
    chosen = np.asarray(logits).argmax(axis=-1)
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, chosen, average="macro", zero_division=0
    )
    return {
        "accuracy": float(accuracy_score(truth, chosen)),
        "macro_f1": float(f1),
        "macro_precision": float(precision),
        "macro_recall": float(recall),
    }
