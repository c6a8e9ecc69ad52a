"""The pyfunc of a bundle, as MLflow logs it (*models from code*): this file travels with the model.

`mlflow models serve`, `mlflow.pyfunc.load_model` and `spark_udf` run it; it needs `classifier`, which travels too.
Input: a data frame with a `text` column. Output: a data frame with as many rows, and with `label`, `score` and one
`p_<label>` column a label; where `text` is missing, all of them are missing.
"""

from __future__ import annotations

import os
from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext

from classifier import Classifier
from classifier.reference import PROBABILITY_PREFIX
from classifier.signing import SigningKeys


class BundleModel(PythonModel):  # type: ignore[misc, unused-ignore]
    """Answers with the bundle under the artifact `bundle`."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load and verify the bundle; with MODEL_SIGNING_KEY or MODEL_VERIFY_KEY set, its signature too.

        A model that MLflow loads does not know as which version: only the signature of its manifest can be checked.
        """
        keys = SigningKeys.read(
            os.environ.get("MODEL_SIGNING_KEY") or None, public=os.environ.get("MODEL_VERIFY_KEY") or None
        )
        self._classifier = Classifier.load(context.artifacts["bundle"], signing_key=keys)

    def predict(self, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:  # type: ignore[override]  # noqa: ARG002
        """Classify each row's `text`; a row whose text is missing (None, NaN, NA) gets a missing answer.

        Raises:
            TypeError: a value is neither a text nor missing.
        """
        values = list(model_input["text"])
        present = [place for place, value in enumerate(values) if not _is_missing(value)]
        for place in present:
            if not isinstance(values[place], str):
                raise TypeError(
                    f"row {place}: `text` is a {type(values[place]).__name__}, and must be a text or missing"
                )
        probabilities = self._classifier.predict([values[place] for place in present])
        labels = self._classifier.labels
        answered: dict[str, Any] = {
            "label": [labels[best] for best in probabilities.argmax(axis=1)],
            "score": probabilities.max(axis=1, initial=0.0),
        }
        for position, label in enumerate(labels):
            answered[PROBABILITY_PREFIX + label] = probabilities[:, position]
        rows = pd.DataFrame(answered, index=present)
        if len(present) == len(values):
            return rows
        # Objects, so that what is missing is None, and null in the JSON of `mlflow models serve`, where NaN is no JSON.
        rows = rows.astype(object).reindex(range(len(values)))
        return rows.where(rows.notna(), None)


def _is_missing(value: object) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and value != value)


set_model(BundleModel())
