"""The prediction store: every answer that was given, and what turned out to be true (SQLite or PostgreSQL).

`schema` has the tables, `store` writes and reads them, `migrations` makes them.
"""

from stores.predictions.labels import FeedbackResult
from stores.predictions.store import (
    LabelledPrediction,
    Outcome,
    Prediction,
    PredictionStore,
    new_prediction_id,
)

__all__ = [
    "FeedbackResult",
    "LabelledPrediction",
    "Outcome",
    "Prediction",
    "PredictionStore",
    "new_prediction_id",
]
