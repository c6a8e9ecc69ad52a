"""Scikit-learn pipelines, kept as skops: never a pickle."""

from __future__ import annotations

import sys
from abc import abstractmethod
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from classifier.description import DESCRIPTION_FILE, Description
from classifier.errors import (
    BundleDamaged,
    BundleIncomplete,
    BundleUntrusted,
    PredictionFailed,
)
from classifier.runtime import Encoded, Logits, Model, RuntimeOptions, register_runtime

_TINY = 1e-12
_TORCH_ARRAYS = "sklearn.externals.array_api_compat.torch"
"""Scikit-learn's adapter for torch tensors as arrays: importing it imports torch."""


class ClassicalModel(Model):
    """Base of the classical kinds: reads whole texts, counts words, gives log-probabilities as logits."""

    packages: ClassVar[tuple[str, ...]] = ("scikit-learn", "skops")
    library = "scikit-learn"

    def encode(self, texts: Sequence[str], *, all_stages: bool = False) -> list[Encoded]:  # noqa: ARG002
        """Nothing to tokenise: words are counted so that the answer can say how long a text was."""
        return [Encoded(text, (), len(text.split()), truncated=False) for text in texts]

    def logits(self, batch: Sequence[Encoded], *, exclusive: bool = True) -> Logits:  # noqa: ARG002
        """Log-probabilities, so that temperature scaling means the same for every kind."""
        try:
            probabilities = self._predict_proba([item.read for item in batch])
        except Exception as error:  # scikit-learn and CatBoost raise various types
            raise PredictionFailed(f"the classical pipeline failed on {len(batch)} texts: {error}") from error
        logits: Logits = np.log(np.clip(probabilities, _TINY, 1.0)).astype(np.float32)
        return logits

    @abstractmethod
    def _predict_proba(self, texts: list[str]) -> NDArray[np.float64]:
        """Probabilities, (n, labels) float64."""


@register_runtime("sklearn")
class SklearnModel(ClassicalModel):
    """One skops pipeline from text to `predict_proba`, its classes in the order of the labels."""

    def __init__(self, folder: Path, description: Description) -> None:
        path = folder / description.model_file
        self._pipeline = load_skops(path)
        check_classes(path, getattr(self._pipeline, "classes_", ()), description.labels)

    @classmethod
    def load(cls, folder: Path, description: Description, options: RuntimeOptions) -> SklearnModel:  # noqa: ARG003
        """See `Model.load`."""
        return cls(folder, description)

    def _predict_proba(self, texts: list[str]) -> NDArray[np.float64]:
        return np.asarray(self._pipeline.predict_proba(texts), dtype=np.float64)


def check_classes(path: Path, classes: Sequence[Any], labels: tuple[str, ...]) -> None:
    """Raise BundleDamaged unless `classes` of the model in `path`, where it has any, are `labels` in their order.

    In another order each probability would belong to the wrong label.
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
