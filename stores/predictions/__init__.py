"""The prediction store: every answer that was given, and what turned out to be true (SQLite or PostgreSQL).

`schema` has the tables, `store` writes and reads them, `migrations` makes them.
"""

from stores.predictions.records import LabelledPrediction, Outcome, Prediction, new_prediction_id
from stores.predictions.store import PredictionStore
from stores.predictions.writes import FeedbackResult

__all__ = [
    "FeedbackResult",
    "LabelledPrediction",
    "Outcome",
    "Prediction",
    "PredictionStore",
    "new_prediction_id",
]
