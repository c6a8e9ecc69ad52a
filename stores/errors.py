"""Everything this room can raise.

StoreError
 ├── RegistryUnavailable      MLflow does not answer
 ├── ModelNotRegistered       no such model, version or alias
 ├── BadModelReference        a text that names no model in any of the accepted forms
 ├── NotABundle               the version exists, and is not a bundle of this project
 ├── ChampionChanged          the champion is no longer the one that a promotion was decided against
 ├── PromotionBusy            another process is changing the aliases of this model
 ├── NameRefused              a model or an alias cannot have this name
 ├── PredictionStoreError     the prediction store cannot be read or written
 │    ├── PredictionStoreReplaced  its SQLite file was deleted or replaced while it was open
 │    ├── SpoolUnavailable         the local spool cannot be read or written
 │    └── SpoolFull                the local spool holds as many bytes as it may
 └── ClusterUnavailable       Ray is not installed, does not answer, or has too few processors
"""

from __future__ import annotations


class StoreError(Exception):
    """Base of every error of this package."""


class RegistryUnavailable(StoreError):
    """MLflow does not answer, or answers with an error."""


class ModelNotRegistered(StoreError):
    """The registry answers, and has no such model, version or alias."""


class BadModelReference(StoreError):
    """A text that names no model; the message lists the accepted forms."""


class NotABundle(StoreError):
    """The version exists, and its artifacts are not a bundle of this project; the message says what they are."""


class ChampionChanged(StoreError):
    """The champion is no longer the one that a promotion was decided against; nothing was changed.

    Args:
        message: for people.
        champion: version that is champion now; None where there is none.
    """

    def __init__(self, message: str, champion: str | None) -> None:
        super().__init__(message)
        self.champion = champion


class PromotionBusy(StoreError):
    """Another process holds the lock on the aliases of this model, or this one held it for too long."""


class NameRefused(StoreError):
    """A store cannot keep something under this name; the message says why."""


class PredictionStoreError(StoreError):
    """The prediction store cannot be reached, read or written."""


class PredictionStoreReplaced(PredictionStoreError):
    """The file of an SQLite store was deleted or replaced while it was open; nothing was kept."""


class SpoolUnavailable(PredictionStoreError):
    """The local spool cannot be read or written."""


class SpoolFull(PredictionStoreError):
    """The local spool holds as many bytes as it may (PREDICTIONS_SPOOL_BYTES)."""


class ClusterUnavailable(StoreError):
    """Ray is not installed, does not answer, or has fewer processors than were requested."""
