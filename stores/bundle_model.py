"""The pyfunc of a bundle, as MLflow logs it (*models from code*): this file travels with the model.

`mlflow models serve`, `mlflow.pyfunc.load_model` and `spark_udf` run it; it needs `classifier`, which travels too.
Input: a data frame with a `text` column. Output: a data frame with
`label`, `score` and one `p_<label>` column a label.
"""

from __future__ import annotations

import os
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from classifier import Classifier
from classifier.reference import PROBABILITY_PREFIX


class BundleModel(PythonModel):  # type: ignore[misc, unused-ignore]
    """Answers with the bundle under the artifact `bundle`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load and verify the bundle; with MODEL_SIGNING_KEY set, its signature too."""
        self._classifier = Classifier.load(
            context.artifacts["bundle"], signing_key=os.environ.get("MODEL_SIGNING_KEY") or None
        )

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # type: ignore[override]  # noqa: ARG002
        """Classify each row's `text`."""
        probabilities = self._classifier.predict([str(text) for text in model_input["text"]])
        best = probabilities.argmax(axis=1)
        columns: dict[str, Any] = {
            "label": [self._classifier.labels[i] for i in best],
            "score": probabilities.max(axis=1, initial=0.0),
        }
        for position, label in enumerate(self._classifier.labels):
            columns[PROBABILITY_PREFIX + label] = probabilities[:, position]
        return pd.DataFrame(columns)


set_model(BundleModel())
