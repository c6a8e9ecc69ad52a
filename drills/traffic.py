"""Good traffic beside a fault: which ids were answered, what was refused, and how long that took."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from drills.champion import short_texts
from drills.wire import Connection, NotHttp, contract_fault


@dataclass(slots=True)
class Traffic:
    """What came back so far; written by several threads."""

    ids: list[str] = field(default_factory=list)
    """Prediction ids of the answers with 200."""
    statuses: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    """Requests whose connection was refused or ended."""
    faults: list[str] = field(default_factory=list)
    """Answers outside the contract."""
    longest: float = 0.0
    """Longest time from sending to an answer or an end, seconds."""
    answered_at: list[tuple[float, int]] = field(default_factory=list)
    """`time.monotonic()` and status of each answer."""

    @property
    def failed(self) -> int:
        """Requests without an answer of 200."""
        return self.lost + sum(count for status, count in self.statuses.items() if status != 200)

    def first_good_after(self, moment: float) -> float | None:
        """Seconds from a moment of `time.monotonic()` to the next answer with 200; None: there was none."""
        later = [at for at, status in self.answered_at if status == 200 and at >= moment]
        return min(later) - moment if later else None

    def said(self) -> str:
        """The counts in words."""
        parts = [f"{count:,} × {status}" for status, count in sorted(self.statuses.items())]
        return ", ".join(parts + ([f"{self.lost:,} lost"] if self.lost else []))


@contextmanager
def traffic(
    port: int, *, clients: int = 4, texts: int = 2, pause: float = 0.01, timeout: float = 40.0
) -> Iterator[Traffic]:
    """Clients that send different short texts, one request after another, until the block ends.

    Args:
        port: of the service; it may go away and come back.
        clients: threads, each with a connection.
        texts: of each request.
        pause: seconds between two requests of a client.
        timeout: seconds after which an answer counts as missing.
    """
    found = Traffic()
    lock, ended = threading.Lock(), threading.Event()
    pool = short_texts(2000)

    def run(number: int) -> None:
        connection: Connection | None = None
        turn = number
        while not ended.is_set():
            turn += clients
            asked = [pool[(turn * texts + place) % len(pool)] for place in range(texts)]
            began = time.monotonic()
            status, ids, fault = 0, [], None
            try:
                connection = connection or Connection(port, timeout=timeout)
                answer = connection.post("/classify", {"text": asked})
                status, fault = answer.status, contract_fault(answer)
                if status == 200:
                    ids = [row["id"] for row in answer.json()["predictions"]]
            except TimeoutError:
                fault = f"no answer within {timeout:.0f} s"
            except (OSError, NotHttp):
                pass
            now = time.monotonic()
            if status == 0 and connection is not None:
                connection.close()
                connection = None
            with lock:
                found.ids += ids
                found.longest = max(found.longest, now - began)
                if status:
                    found.statuses[status] += 1
                    found.answered_at.append((now, status))
                else:
                    found.lost += 1
                if fault:
                    found.faults.append(fault)
            ended.wait(pause if status == 200 else 0.1)
        if connection is not None:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition; whether it came within `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError):
            if condition():
                return True
        time.sleep(0.05)
    return False


def missing_or_doubled(answered: Sequence[str], stored: Sequence[str]) -> list[str]:
    """Faults where ids that were answered are not stored exactly once."""
    counts = Counter(stored)
    missing = [one for one in answered if not counts[one]]
    doubled = [one for one, count in counts.items() if count > 1]
    faults = []
    if missing:
        faults.append(
            f"{len(missing)} of {len(answered)} answered ids are not in the store, such as {missing[0]}"
        )
    if doubled:
        faults.append(f"{len(doubled)} ids are in the store more than once, such as {doubled[0]}")
    if len(set(answered)) != len(answered):
        faults.append("an id was answered twice")
    return faults


def stored_ids(url: str) -> list[str]:
    """All prediction ids in the store at a SQLAlchemy address."""
    from sqlalchemy import create_engine, text

    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return [str(row[0]) for row in connection.execute(text("SELECT id FROM predictions"))]
    finally:
        engine.dispose()
