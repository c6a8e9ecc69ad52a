"""A trained text classifier as a thing: a folder on disk (the bundle), a predictor in memory.

This room knows numpy, tokenizers, ONNX Runtime and the classical libraries. It knows no torch, no HTTP and
no SQL, so it can be copied beside a model and run anywhere.

Usage::

    from classifier import Classifier

    model = Classifier.load("var/models/news-v7")
    model.predict(["Shares fell in London."])      # (1, len(model.labels)) float32
"""

from classifier.bundle import seal_bundle
from classifier.description import Description
from classifier.errors import (
    BundleDamaged,
    BundleError,
    BundleIncomplete,
    BundleUntrusted,
    BundleVersionUnknown,
    ClassifierError,
    DeviceMissing,
    GoldenMismatch,
    PredictionFailed,
    SigningKeyInvalid,
)
from classifier.predictor import Classifier, Predictions
from classifier.runtime import Encoded
from classifier.signing import SigningKeys

__all__ = [
    "BundleDamaged",
    "BundleError",
    "BundleIncomplete",
    "BundleUntrusted",
    "BundleVersionUnknown",
    "Classifier",
    "ClassifierError",
    "Description",
    "DeviceMissing",
    "Encoded",
    "GoldenMismatch",
    "PredictionFailed",
    "Predictions",
    "SigningKeyInvalid",
    "SigningKeys",
    "seal_bundle",
]
