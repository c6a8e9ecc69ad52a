"""A lock on the aliases of one registered model, held across machines that share an MLflow registry.

MLflow has neither transactions nor a conditional write, so the lock is made of tags of the registered model. A process
that wants it writes a tag and then reads those of the others. It holds the lock where it sees no other; else
it removes its tag, waits for a random time and tries again. Of two processes at least one reads after the other has
written, so both never hold it (Dekker's flags; Dijkstra 1965). A tag carries the time at which it expires, so that a
process that was killed does not hold the lock forever; clocks have to agree within a few seconds.

On SQLite a file lock comes first. The operating system releases it when a process dies, so its holder knows that
every other lease taken under it is left over, and does not wait for its expiry.
"""

from __future__ import annotations

import json
import os
import random
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from stores.errors import PromotionBusy

if TYPE_CHECKING:
    from pathlib import Path

    from mlflow import MlflowClient

LEASE_PREFIX = "promotion_lease."
"""Beginning of the tags' names; a random token follows."""
LEASE_SECONDS = 60.0
"""Time after which a lease expires. A promotion is about ten short calls."""
_PAUSE = (0.05, 0.4)


@dataclass(frozen=True, slots=True)
class Lease:
    """The lock, as long as this process may rely on it."""

    until: float
    """`time.monotonic()` after which another process may hold it."""

    def check(self) -> None:
        """Raise PromotionBusy where the lease may have expired: before each write."""
        if time.monotonic() >= self.until:
            raise PromotionBusy(
                "the registry took so long to answer that the lock on the model's aliases expired; the next command "
                "completes or undoes what was begun"
            )


@contextmanager
def model_lease(
    client: MlflowClient, name: str, lock_file: Path | None, *, seconds: float = LEASE_SECONDS
) -> Iterator[Lease]:
    """Hold the lock on the aliases of the registered model `name`.

    Args:
        client: of the registry.
        name: the model must exist.
        lock_file: file lock to hold first, for a registry in a file of this machine; None for a server.
        seconds: time after which the lease expires; a process waits for somewhat longer than this.

    Raises:
        PromotionBusy: another process held it all the time.
        MlflowException: the registry fails.
    """
    patience = 1.5 * seconds
    if lock_file is None:
        with _tag_lease(client, name, seconds, patience, under_file_lock=False) as lease:
            yield lease
        return
    lock = FileLock(lock_file)
    try:
        lock.acquire(timeout=patience)
    except Timeout:
        raise PromotionBusy(f"another process is changing the aliases of {name!r}: try again") from None
    try:
        with _tag_lease(client, name, seconds, patience, under_file_lock=True) as lease:
            yield lease
    finally:
        lock.release()


@contextmanager
def _tag_lease(
    client: MlflowClient, name: str, seconds: float, patience: float, *, under_file_lock: bool
) -> Iterator[Lease]:
    key = LEASE_PREFIX + secrets.token_hex(8)
    give_up = time.monotonic() + patience
    while True:
        others = _others(client, name, key, under_file_lock)
        if not others:
            began = time.monotonic()
            client.set_registered_model_tag(name, key, _value(seconds, under_file_lock))
            if not _others(client, name, key, under_file_lock):
                break
            client.delete_registered_model_tag(name, key)
        elif time.monotonic() >= give_up:
            holder = next(iter(others.values()))
            raise PromotionBusy(f"another process ({holder}) is changing the aliases of {name!r}: try again")
        time.sleep(random.uniform(*_PAUSE))
    try:
        # Part of the lease is kept back for a write that is under way when it ends.
        yield Lease(began + 0.7 * seconds)
    finally:
        with suppress(Exception):  # it expires; what happened inside matters more
            client.delete_registered_model_tag(name, key)


def _value(seconds: float, under_file_lock: bool) -> str:
    holder = f"{socket.gethostname()}, process {os.getpid()}"
    return json.dumps(
        {"expires_at": round(time.time() + seconds, 3), "holder": holder, "file_lock": under_file_lock}
    )


def _others(client: MlflowClient, name: str, own: str, under_file_lock: bool) -> dict[str, str]:
    """Tag → holder of the leases of others that hold; those that do not are removed."""
    tags: Mapping[str, str] = client.get_registered_model(name).tags or {}
    found = {}
    for key, value in tags.items():
        if not key.startswith(LEASE_PREFIX) or key == own:
            continue
        try:
            lease = json.loads(value)
            holder, expired = str(lease["holder"]), time.time() > float(lease["expires_at"])
            left_over = under_file_lock and bool(lease["file_lock"])
        except (ValueError, KeyError, TypeError):
            holder, expired, left_over = "unknown", True, True
        if expired or left_over:
            with suppress(Exception):  # another process was faster
                client.delete_registered_model_tag(name, key)
        else:
            found[key] = holder
    return found
