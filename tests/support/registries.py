"""An empty registry without the seconds that MLflow takes to make its tables: they are made once and copied."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

from filelock import FileLock

from stores.mlflow_client import lock_of
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings

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


@lru_cache(maxsize=1)
def _made_once() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="registry-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    settings = TrackingSettings(var_dir=folder, mlflow_tracking_uri=_address(folder))
    assert ModelRegistry(settings).aliases() == {}
    return folder / DATABASE
