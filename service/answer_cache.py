"""What the model said of texts that were asked before: the least recently asked are forgotten first."""

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
class Known:
    """What is known of one text."""

    probabilities: Probabilities
    """(labels,)"""
    tokens: int
    truncated: bool


class AnswerCache:
    """Least-recently-used answers by model and text, bounded in bytes; thread-safe.

    Texts are not kept: an entry is found by a 128-bit digest. An entry of a model that has been replaced is never
    found again, and ages out.

    Args:
        max_bytes: what all entries together may take; 0 keeps none.
        observe: told how many texts were found.
    """

    def __init__(self, max_bytes: int, *, observe: Callable[[int], None] = lambda _: None) -> None:
        self._max_bytes = max_bytes
        self._observe = observe
        self._entries: OrderedDict[bytes, Known] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes = 0
        """What the entries take now, about."""

    def get(self, model_id: str, text: str) -> Known | None:
        """What is known of `text`, which then counts as just asked."""
        if not self._max_bytes:
            return None
        if known := self._find(model_id, text):
            self._observe(1)
        return known

    def get_all(self, model_id: str, texts: Sequence[str]) -> list[Known] | None:
        """What is known of `texts`, in order; None unless every one of them is known."""
        if not self._max_bytes:
            return None
        found = []
        for text in texts:
            known = self._find(model_id, text)
            if known is None:
                return None
            found.append(known)
        self._observe(len(found))
        return found

    def put(self, model_id: str, text: str, known: Known) -> None:
        """Keep an answer; others are forgotten if it needs their room."""
        size = _size(known)
        if size > self._max_bytes:
            return
        key = _key(model_id, text)
        with self._lock:
            replaced = self._entries.pop(key, None)
            self.bytes += size - (_size(replaced) if replaced else 0)
            self._entries[key] = known
            while self.bytes > self._max_bytes:
                _, oldest = self._entries.popitem(last=False)
                self.bytes -= _size(oldest)

    def _find(self, model_id: str, text: str) -> Known | None:
        key = _key(model_id, text)
        with self._lock:
            known = self._entries.get(key)
            if known is not None:
                self._entries.move_to_end(key)
            return known


def _key(model_id: str, text: str) -> bytes:
    return blake2b(f"{model_id}\0{text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _size(known: Known) -> int:
    return _OVERHEAD + known.probabilities.nbytes
