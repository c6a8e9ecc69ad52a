"""The queue of texts to compute, in batches of like length, and the texts that are being computed."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable, Sequence

from service.inference.jobs import Item, Job

_Key = tuple[int, int, int]

_MAX_PADDING = 0.15
"""Maximum share of padding in a batch. On a CPU more padding costs more than a larger batch gains."""
_FREE_PADDING = 256
"""Padded tokens below which the cost of a batch is constant, so that padding does not matter."""


class LengthBucketedQueue:
    """Texts that wait for the model, ordered by length. Not thread-safe: the batcher holds its lock.

    At least every second batch is seeded by the oldest job, the others by the jobs in turns: the first text of the job
    is taken, and texts of similar length, of any job, fill the batch as long as padding stays small. So padding is
    small, no text starves, and a list of a thousand texts delays another client's single text by about one batch. With
    turns only, a full queue of like jobs would finish them all late: each would wait twice as long as in the order of
    arrival.
    """

    def __init__(self) -> None:
        self._turns: deque[Job] = deque()
        self._by_cost: list[tuple[_Key, Item]] = []
        self._left: dict[Job, set[int]] = {}
        self._numbered = 0
        self._oldest_next = False

    def __len__(self) -> int:
        return len(self._by_cost)

    def add(self, job: Job, items: Sequence[Item] | None = None) -> None:
        """Queue `items` of a job, at least one; None: all its texts."""
        items = job.items if items is None else items
        self._numbered += 1
        job.turn = self._numbered
        self._turns.append(job)
        self._left[job] = {item.position for item in items}
        if len(items) > 16:  # sorting once is cheaper than many insertions
            self._by_cost.extend((_key(item), item) for item in items)
            self._by_cost.sort(key=_first)
        else:
            for item in items:
                insort(self._by_cost, (_key(item), item), key=_first)

    def take(self, budget: int) -> list[Item]:
        """Remove and return the next batch: texts of one model, at most `budget` padded tokens (or a single text)."""
        if not self._turns:
            return []
        job = self._next_job()
        left = self._left[job]
        seed = self._place(job.items[min(left)])
        low, high = self._around(seed, budget, job.model)
        taken = [
            self._by_cost[index]
            for index in range(low, high)
            if self._by_cost[index][1].job.model is job.model
        ]
        taken_keys = {key for key, _ in taken}
        self._by_cost[low:high] = [entry for entry in self._by_cost[low:high] if entry[0] not in taken_keys]
        for _, item in taken:
            self._left[item.job].discard(item.position)
        if left:
            self._turns.append(job)
        else:
            del self._left[job]
        for finished in {item.job for _, item in taken} - {job}:
            if not self._left[finished]:
                self._turns.remove(finished)
                del self._left[finished]
        return [item for _, item in taken]

    def drop(self, jobs: Iterable[Job]) -> int:
        """Remove the queued texts of these jobs; returns their number."""
        before = len(self._by_cost)
        unwanted = {job for job in jobs if job in self._left}
        if unwanted:
            self._by_cost = [entry for entry in self._by_cost if entry[1].job not in unwanted]
            self._turns = deque(job for job in self._turns if job not in unwanted)
            for job in unwanted:
                del self._left[job]
        return before - len(self._by_cost)

    def jobs(self) -> list[Job]:
        """Jobs with queued texts, in the order of their turns."""
        return list(self._turns)

    def _next_job(self) -> Job:
        """Remove the job that seeds the next batch from the turns."""
        oldest = next(iter(self._left))  # in the order of arrival
        job = oldest if self._oldest_next else self._turns[0]
        self._oldest_next = job is not oldest
        self._turns.remove(job)
        return job

    def _place(self, item: Item) -> int:
        return bisect_left(self._by_cost, _key(item), key=_first)

    def _around(self, seed: int, budget: int, model: object) -> tuple[int, int]:
        """Bounds of the slice around `seed`, by nearest length, that fits budget and padding."""
        low, high = seed, seed + 1
        base = longest = tokens = self._by_cost[seed][1].cost
        count = 1
        while True:
            shorter = self._by_cost[low - 1][1] if low else None
            longer = self._by_cost[high][1] if high < len(self._by_cost) else None
            if shorter and (longer is None or base - shorter.cost <= longer.cost - base):
                grown, candidate, low_next, high_next = longest, shorter, low - 1, high
            elif longer:
                grown, candidate, low_next, high_next = longer.cost, longer, low, high + 1
            else:
                return low, high
            if candidate.job.model is model:
                padded = grown * (count + 1)
                wasted = padded - tokens - candidate.cost
                if padded > budget or (padded > _FREE_PADDING and wasted > _MAX_PADDING * padded):
                    return low, high
                longest, tokens, count = grown, tokens + candidate.cost, count + 1
            low, high = low_next, high_next


def _key(item: Item) -> _Key:
    return (item.cost, item.job.turn, item.position)


def _first(entry: tuple[_Key, Item]) -> _Key:
    return entry[0]


_TextKey = tuple[str, str]


class SingleFlight:
    """Deduplicates concurrent requests for the same text (single-flight). Thread-safe.

    The first item of a text is the leader: its thread computes the text. Later items of the same text, in the same
    batch or in another thread's, are followers: they get the leader's result or error.
    """

    def __init__(self) -> None:
        self._followers: dict[_TextKey, list[Item]] = {}
        self._lock = threading.Lock()

    def claim(self, items: Iterable[Item]) -> list[Item]:
        """The items that the caller must compute; the others become followers."""
        leaders = []
        with self._lock:
            for item in items:
                key = _text_key(item)
                if key in self._followers:
                    self._followers[key].append(item)
                else:
                    self._followers[key] = []
                    leaders.append(item)
        return leaders

    def finish(self, leaders: Sequence[Item]) -> list[list[Item]]:
        """Remove the leaders and return the followers of each."""
        with self._lock:
            return [self._followers.pop(_text_key(item), []) for item in leaders]

    def followers(self) -> list[Item]:
        """Every follower."""
        with self._lock:
            return [item for items in self._followers.values() for item in items]


def _text_key(item: Item) -> _TextKey:
    return item.job.model.model_id, item.encoded.text
