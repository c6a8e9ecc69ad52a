"""A least-recently-used cache of the model's answers, by model and text."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from classifier.runtime import Probabilities

_OVERHEAD = 400
"""Bytes that Python's objects of one entry take beside the numbers, measured with `sys.getsizeof`."""


@dataclass(frozen=True, slots=True)
class CachedAnswer:
    """The model's answer to one text."""

    probabilities: Probabilities
    """(labels,)"""
    tokens: int
    truncated: bool
    stage: int = 0
    """Index of the stage of a cascade that answered."""


class AnswerCache:
    """Least-recently-used answers by model and text, bounded in bytes; thread-safe.

    Texts are not kept: the key is a 128-bit digest of model and text. Entries of a replaced model are not read again
    and are evicted.

    Args:
        max_bytes: limit for all entries; 0: no cache.
        observe: called with the number of cached texts.
    """

    def __init__(self, max_bytes: int, *, observe: Callable[[int], None] = lambda _: None) -> None:
        self._max_bytes = max_bytes
        self._observe = observe
        self._entries: OrderedDict[bytes, CachedAnswer] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes = 0
        """Approximate size of the entries."""

    def get(self, model_id: str, text: str) -> CachedAnswer | None:
        """The answer to `text`, which becomes the most recently used; None: not cached."""
        if not self._max_bytes:
            return None
        if cached := self._find(model_id, text):
            self._observe(1)
        return cached

    def get_all(self, model_id: str, texts: Sequence[str]) -> list[CachedAnswer] | None:
        """The answers to `texts`, in order; None unless all are cached."""
        if not self._max_bytes:
            return None
        found = []
        for text in texts:
            cached = self._find(model_id, text)
            if cached is None:
                return None
            found.append(cached)
        self._observe(len(found))
        return found

    def put(self, model_id: str, text: str, cached: CachedAnswer) -> None:
        """Add an answer; the least recently used ones are evicted to make room."""
        size = _size(cached)
        if size > self._max_bytes:
            return
        key = _key(model_id, text)
        with self._lock:
            replaced = self._entries.pop(key, None)
            self.bytes += size - (_size(replaced) if replaced else 0)
            self._entries[key] = cached
            while self.bytes > self._max_bytes:
                _, oldest = self._entries.popitem(last=False)
                self.bytes -= _size(oldest)

    def clear(self) -> None:
        """Remove every answer."""
        with self._lock:
            self._entries.clear()
            self.bytes = 0

    def _find(self, model_id: str, text: str) -> CachedAnswer | None:
        key = _key(model_id, text)
        with self._lock:
            cached = self._entries.get(key)
            if cached is not None:
                self._entries.move_to_end(key)
            return cached


def _key(model_id: str, text: str) -> bytes:
    return blake2b(f"{model_id}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _size(cached: CachedAnswer) -> int:
    return _OVERHEAD + cached.probabilities.nbytes
