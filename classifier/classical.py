"""Classical pipelines: scikit-learn kept as skops, CatBoost in its own format. Never a pickle."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from classifier.description import DESCRIPTION_FILE, Description
from classifier.errors import (
    BundleDamaged,
    BundleError,
    BundleIncomplete,
    BundleUntrusted,
    PredictionFailed,
)
from classifier.runtime import Encoded

VECTORIZER_FILE = "vectorizer.skops"
_TINY = 1e-12
_TORCH_ARRAYS = "sklearn.externals.array_api_compat.torch"
"""Scikit-learn's adapter for torch tensors as arrays: importing it imports torch."""


class ClassicalModel(ABC):
    """Base of the classical kinds: reads whole texts, counts words, gives log-probabilities as logits."""

    device: Literal["cpu", "cuda"] = "cpu"

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        """Nothing to tokenise: words are counted so that the answer can say how long a text was."""
        return [Encoded(text, (), len(text.split()), truncated=False) for text in texts]

    def logits(self, batch: Sequence[Encoded], *, exclusive: bool = True) -> NDArray[np.float32]:  # noqa: ARG002
        """Log-probabilities, so that temperature scaling means the same for every kind; `alone` makes no difference."""
        try:
            probabilities = self._predict_proba([item.read for item in batch])
        except Exception as error:  # scikit-learn and CatBoost raise various types
            raise PredictionFailed(f"the classical pipeline failed on {len(batch)} texts: {error}") from error
        logits: NDArray[np.float32] = np.log(np.clip(probabilities, _TINY, 1.0)).astype(np.float32)
        return logits

    @abstractmethod
    def _predict_proba(self, texts: list[str]) -> NDArray[np.float64]:
        """Probabilities, (n, labels) float64."""


class SklearnModel(ClassicalModel):
    """The `sklearn` kind: one skops pipeline from text to `predict_proba`, its classes in the order of the labels."""

    def __init__(self, folder: Path, description: Description) -> None:
        path = folder / description.model_file
        self._pipeline = load_skops(path)
        _check_classes(path, getattr(self._pipeline, "classes_", ()), description.labels)

    def _predict_proba(self, texts: list[str]) -> NDArray[np.float64]:
        return np.asarray(self._pipeline.predict_proba(texts), dtype=np.float64)


class CatBoostModel(ClassicalModel):
    """The `catboost` kind: a skops vectoriser and a CatBoost classifier in its own format."""

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
            _check_classes(path, classes, description.labels)

    def _predict_proba(self, texts: list[str]) -> NDArray[np.float64]:
        features = self._vectorizer.transform(texts)
        return np.asarray(self._model.predict_proba(features, thread_count=self._threads), dtype=np.float64)


def _check_classes(path: Path, classes: Sequence[Any], labels: tuple[str, ...]) -> None:
    """Raise BundleDamaged unless `classes` of the model in `path`, where it has any, are `labels` in their order.

    Else each probability would be given to another label than it belongs to.
    """
    found = tuple(str(name) for name in classes)
    if not found or found == labels:
        return
    if sorted(found) == sorted(labels):
        raise BundleDamaged(f"{path} has its classes in another order than {DESCRIPTION_FILE} its labels")
    shown = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
    raise BundleDamaged(
        f"{path} has {len(found)} classes ({shown}), which are not the labels in {DESCRIPTION_FILE}"
    )


def save_skops(estimator: Any, path: Path) -> None:
    """Write a scikit-learn estimator as skops, which unlike a pickle cannot run code on loading."""
    _skops().dump(estimator, path)


def load_skops(path: Path) -> Any:
    """Load a skops file that holds nothing but scikit-learn's, numpy's and scipy's own types.

    Raises:
        BundleIncomplete: the file is missing.
        BundleUntrusted: it holds another type, which could run code on loading.
        BundleDamaged: it cannot be read.
    """
    if not path.is_file():
        raise BundleIncomplete(f"{path} is missing")
    skops = _skops()
    from skops.io.exceptions import UntrustedTypesFoundException

    try:
        return skops.load(path, trusted=[])  # looks at every type before it makes the first object
    except UntrustedTypesFoundException:
        unknown = ", ".join(skops.get_untrusted_types(file=path))
        raise BundleUntrusted(f"{path} holds types that are not trusted: {unknown}") from None
    except Exception as error:  # zip, JSON and constructor errors alike mean an unreadable file
        raise BundleDamaged(f"{path} is not a readable skops file: {error}") from None


def _skops() -> Any:
    """`skops.io`, imported without torch.

    To know which types are scikit-learn's, skops imports all packages of scikit-learn, and skips those that cannot be
    imported. One of them is the adapter for torch: where torch is installed, each server and each command with a
    classical bundle would load all of it, seconds and some hundred megabytes, and use none.
    """
    if "skops.io" in sys.modules or _TORCH_ARRAYS in sys.modules:
        return import_module("skops.io")
    sys.modules[_TORCH_ARRAYS] = None  # type: ignore[assignment]  # as if it could not be imported
    try:
        return import_module("skops.io")
    finally:
        del sys.modules[_TORCH_ARRAYS]
