"""Promotions in processes that die before the n-th write to the registry, and many at once; run as a script.

One process imports MLflow and forks: a process for each kill would import it again, for seconds.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow.store.model_registry.sqlalchemy_store  # noqa: F401 - else each child imports it
from mlflow import MlflowClient

from stores.alias_changes import CHAMPION, AliasChanges
from stores.errors import ChampionChanged
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings

WRITES = (
    "set_registered_model_tag",
    "delete_registered_model_tag",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_model_version_tag",
)
KILLED, DONE, BEATEN = 9, 0, 3
"""Exit statuses: died at a write; promoted; another one promoted first."""


def die_before_write(number: int) -> None:
    """Make the `number`-th write of this process its end; nothing is flushed or cleaned up."""
    seen = 0

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def write(*args: Any, **kwargs: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == number:
                os._exit(KILLED)
            return method(*args, **kwargs)

        return write

    for name in WRITES:
        setattr(MlflowClient, name, counted(getattr(MlflowClient, name)))


def settings_in(var: Path) -> TrackingSettings:
    return TrackingSettings(var_dir=var, mlflow_tracking_uri=f"sqlite:///{var / 'mlflow.db'}")


def in_child(work: Callable[[], int]) -> int:
    """Process id of a child that ends with the status that `work` returns."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            status = work()
        finally:
            os._exit(status)
    return child


def kill_at_each_write(source: Path, target: Path, last: int) -> list[int]:
    """Promote version 2 in copies `target/1`, …, each in a process that dies before that write; exit statuses."""
    statuses = []
    for number in range(1, last + 1):
        var = target / str(number)
        var.mkdir(parents=True)
        shutil.copy(source / "mlflow.db", var)

        def promote(var: Path = var, number: int = number) -> int:
            registry = ModelRegistry(settings_in(var))
            die_before_write(number)
            registry.promote("2", accept_labels=True)
            return DONE

        statuses.append(os.waitstatus_to_exitcode(os.waitpid(in_child(promote), 0)[1]))
    return statuses


def promote_at_once(var: Path, rounds: int, *, file_lock: bool) -> list[list[int]]:
    """Rounds of two processes that each promote another version against the champion of the round's beginning."""
    results = []
    for _ in range(rounds):
        (told, tell), (started, start) = os.pipe(), os.pipe()

        def promote(place: int, tell: int = tell, started: int = started) -> int:
            registry = ModelRegistry(settings_in(var))
            champion = registry.aliases().get(CHAMPION)
            target = [version for version in ("1", "2", "3") if version != champion][place]
            os.write(tell, b".")
            os.read(started, 1)
            try:
                if file_lock:
                    registry.promote(target, expected=champion)
                else:
                    changes = AliasChanges(registry.client, registry.name, None)
                    changes.promote(target, expected=champion, accepted=None)
            except ChampionChanged:
                return BEATEN
            return DONE

        children = [in_child(lambda place=place: promote(place)) for place in (0, 1)]
        for _ in children:  # both have read who is champion
            os.read(told, 1)
        os.write(start, b"..")
        results.append([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
        for end in (told, tell, started, start):
            os.close(end)
    return results


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    if what == "kill":
        found: Any = kill_at_each_write(Path(arguments[0]), Path(arguments[1]), int(arguments[2]))
    else:
        found = promote_at_once(Path(arguments[0]), int(arguments[1]), file_lock=what == "file")
    print(json.dumps(found))
