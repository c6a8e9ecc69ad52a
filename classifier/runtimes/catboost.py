"""CatBoost classifiers on TF-IDF features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from classifier.description import Description
from classifier.errors import BundleDamaged, BundleError, BundleIncomplete
from classifier.runtime import RuntimeOptions, register_runtime
from classifier.runtimes.sklearn import ClassicalModel, check_classes, load_skops

VECTORIZER_FILE = "vectorizer.skops"


@register_runtime("catboost")
class CatBoostModel(ClassicalModel):
    """A skops vectoriser and a CatBoost classifier in CatBoost's format."""

    packages = ("scikit-learn", "skops", "catboost")
    library = "catboost"

    def __init__(self, folder: Path, description: Description, threads: int | None) -> None:
        try:
            from catboost import CatBoostClassifier, CatBoostError
        except ImportError:  # an extra: a server of networks does not carry it
            raise BundleError(
                f"{folder} is a CatBoost model, and catboost is not installed: pip install 'champion[catboost]'"
            ) from None

        self._vectorizer = load_skops(folder / VECTORIZER_FILE)
        self._threads = threads or -1
        path = folder / description.model_file
        if not path.is_file():
            raise BundleIncomplete(f"{path} is missing")
        self._model = CatBoostClassifier()
        try:
            self._model.load_model(str(path))
        except CatBoostError as error:
            raise BundleDamaged(f"{path} is not a CatBoost model: {error}") from None
        classes = list(self._model.classes_)
        # Training numbers the classes by the place of their label.
        if classes != list(range(len(description.labels))):
            check_classes(path, classes, description.labels)

    @classmethod
    def load(cls, folder: Path, description: Description, options: RuntimeOptions) -> CatBoostModel:
        """See `Model.load`."""
        return cls(folder, description, options.threads)

    def _predict_proba(self, texts: list[str]) -> NDArray[np.float64]:
        features = self._vectorizer.transform(texts)
        return np.asarray(self._model.predict_proba(features, thread_count=self._threads), dtype=np.float64)
