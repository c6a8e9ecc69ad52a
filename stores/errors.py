"""Everything this room can raise.

StoreError
 ├── RegistryUnavailable      MLflow does not answer
 ├── ModelNotRegistered       no such model, version or alias
 ├── PredictionStoreError     the prediction store cannot be read or written
 └── ClusterUnavailable       Ray is not installed, does not answer, or has too few processors
"""

from __future__ import annotations


class StoreError(Exception):
    """Base of every error of this package."""


class RegistryUnavailable(StoreError):
    """MLflow does not answer, or answers with an error of its own."""


class ModelNotRegistered(StoreError):
    """The registry answers, and has no such model, version or alias."""


class PredictionStoreError(StoreError):
    """The prediction store cannot be reached, read or written."""


class ClusterUnavailable(StoreError):
    """Ray is not installed, does not answer, or has fewer processors than were asked for."""
