"""Texts that are being computed now, so that whoever asks for one of them meanwhile shares what comes of it."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from service.jobs import Item

_Key = tuple[str, str]


class InFlight:
    """Who waits for which text that is being computed. Thread-safe.

    The first item of a text leads: its thread computes the text. Later ones, of the same batch or of another thread's,
    follow: they are answered with it, or fail with it.
    """

    def __init__(self) -> None:
        self._followers: dict[_Key, list[Item]] = {}
        self._lock = threading.Lock()

    def claim(self, items: Iterable[Item]) -> list[Item]:
        """Those items that the caller has to compute; the others follow one that is under way."""
        leaders = []
        with self._lock:
            for item in items:
                key = _key(item)
                if key in self._followers:
                    self._followers[key].append(item)
                else:
                    self._followers[key] = []
                    leaders.append(item)
        return leaders

    def finish(self, leaders: Sequence[Item]) -> list[list[Item]]:
        """The followers of each of the leaders, which are under way no longer."""
        with self._lock:
            return [self._followers.pop(_key(item), []) for item in leaders]

    def everybody(self) -> list[Item]:
        """Every follower."""
        with self._lock:
            return [item for items in self._followers.values() for item in items]


def _key(item: Item) -> _Key:
    return item.job.model.model_id, item.encoded.text
