"""The prediction store as the service holds it: opened when it is first needed, and again after a failure."""

from __future__ import annotations

import threading

from stores.errors import PredictionStoreError
from stores.predictions import PredictionStore


class StoreHandle:
    """Opens the store once, and shares it between threads.

    Calling it returns the open store, or raises PredictionStoreError; the next call tries again.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._store: PredictionStore | None = None

    def __call__(self) -> PredictionStore:
        """The open store."""
        with self._lock:
            if self._store is None:
                self._store = _opened(self._url)
            return self._store

    def close(self) -> None:
        """Give the connections back."""
        with self._lock:
            if self._store is not None:
                self._store.close()
                self._store = None


def _opened(url: str) -> PredictionStore:
    try:
        return PredictionStore.open(url)
    except OSError as error:  # the folder of an SQLite file cannot be made or locked
        raise PredictionStoreError(f"the prediction store cannot be opened: {error}") from error
