"""An empty registry without the seconds that MLflow takes to make its tables: they are made once and copied."""

from __future__ import annotations

import shutil
from pathlib import Path

from filelock import FileLock

from stores.mlflow_client import lock_of
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests.support.once import made_once

DATABASE = "mlflow.db"


def with_tables(var: Path) -> Path:
    """`var` with MLflow's database in it, as its first use would make it; one that is there stays as it is."""
    var.mkdir(parents=True, exist_ok=True)
    with FileLock(lock_of(_address(var))):  # a service that has just been started may be making it
        if not (var / DATABASE).exists():
            shutil.copy(_made_once(), var / DATABASE)
    return var


def _address(var: Path) -> str:
    return f"sqlite:///{var / DATABASE}"


def _made_once() -> Path:
    return made_once("empty-registry", _make_tables) / DATABASE


def _make_tables(folder: Path) -> None:
    settings = TrackingSettings(var_dir=folder, mlflow_tracking_uri=_address(folder))
    assert ModelRegistry(settings).aliases() == {}
