"""The line of waiting texts, and which of them are computed next."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterable

from service.jobs import Item, Job

_Key = tuple[int, int, int]

_MOST_PADDING = 0.15
"""Share of a batch that may be padding. Computing padding costs more than a bigger batch gains on a CPU."""
_TRIFLE = 256
"""Padded tokens below which a batch costs about the same whatever is in it, so that padding does not matter."""


class WaitingLine:
    """Texts that wait for the model. Not thread-safe: the batcher holds its lock.

    Jobs take turns, oldest first. The job whose turn it is seeds a batch with its first waiting text; texts of like
    length, of whichever job, fill it, as long as padding stays small. So a batch wastes little, no text starves, and a
    list of a thousand holds up another client's single text for about one batch.
    """

    def __init__(self) -> None:
        self._turns: deque[Job] = deque()
        self._by_cost: list[tuple[_Key, Item]] = []
        self._left: dict[Job, set[int]] = {}
        self._numbered = 0

    def __len__(self) -> int:
        return len(self._by_cost)

    def add(self, job: Job) -> None:
        """Put all texts of a job in line."""
        self._numbered += 1
        job.turn = self._numbered
        self._turns.append(job)
        self._left[job] = {item.position for item in job.items}
        if len(job.items) > 16:  # sorting once is cheaper than many insertions
            self._by_cost.extend((_key(item), item) for item in job.items)
            self._by_cost.sort(key=_first)
        else:
            for item in job.items:
                insort(self._by_cost, (_key(item), item), key=_first)

    def take(self, budget: int) -> list[Item]:
        """Remove and return the next batch: texts of one model, at most `budget` padded tokens (or a single text)."""
        if not self._turns:
            return []
        job = self._turns.popleft()
        left = self._left[job]
        seed = self._place(job.items[min(left)])
        low, high = self._around(seed, budget, job.model)
        taken = [
            self._by_cost[index]
            for index in range(low, high)
            if self._by_cost[index][1].job.model is job.model
        ]
        gone = {key for key, _ in taken}
        self._by_cost[low:high] = [entry for entry in self._by_cost[low:high] if entry[0] not in gone]
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
        """Remove every waiting text of these jobs; returns how many."""
        before = len(self._by_cost)
        unwanted = {job for job in jobs if job in self._left}
        if unwanted:
            self._by_cost = [entry for entry in self._by_cost if entry[1].job not in unwanted]
            self._turns = deque(job for job in self._turns if job not in unwanted)
            for job in unwanted:
                del self._left[job]
        return before - len(self._by_cost)

    def jobs(self) -> list[Job]:
        """Jobs with waiting texts, in the order of their turns."""
        return list(self._turns)

    def _place(self, item: Item) -> int:
        return bisect_left(self._by_cost, _key(item), key=_first)

    def _around(self, seed: int, budget: int, model: object) -> tuple[int, int]:
        """The stretch of neighbours by length around `seed`, nearest first, that fits budget and padding."""
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
                if padded > budget or (padded > _TRIFLE and wasted > _MOST_PADDING * padded):
                    return low, high
                longest, tokens, count = grown, tokens + candidate.cost, count + 1
            low, high = low_next, high_next


def _key(item: Item) -> _Key:
    return (item.cost, item.job.turn, item.position)


def _first(entry: tuple[_Key, Item]) -> _Key:
    return entry[0]
