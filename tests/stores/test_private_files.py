"""What is written is for its user only, and no name leads out of VAR_DIR."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stores.errors import NameRefused
from stores.names import path_component
from stores.predictions import PredictionStore
from stores.private_files import make_private_folder
from stores.registry import ModelRegistry, RegisteredModel
from stores.settings import PredictionSettings, TrackingSettings, VarSettings, private_umask

HOSTILE = ["..", ".", "", "../up", "a/b", "/etc", "a\\b", "\0", "a\nb", "x" * 256, "é" * 200, "\ud800"]


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    """The usual umask, under which everybody may read."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def test_folders_and_databases_are_private_under_any_umask(tmp_path: Path) -> None:
    var = tmp_path / "deep" / "var"
    settings = PredictionSettings(var_dir=var)
    settings.folder("models", "news")
    store = PredictionStore.open(settings)
    store.probe()
    assert {mode & 0o077 for mode in modes(tmp_path).values()} == {0}
    assert stat.S_IMODE(var.stat().st_mode) == 0o700
    store.close()


def test_var_private_false_leaves_the_umask(tmp_path: Path) -> None:
    settings = PredictionSettings(var_dir=tmp_path / "var", var_private=False)
    settings.folder("models")
    PredictionStore.open(settings).close()
    assert stat.S_IMODE((tmp_path / "var" / "models").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "var" / "predictions.db").stat().st_mode) == 0o644


def test_only_folders_of_the_own_user_are_made_private(tmp_path: Path) -> None:
    ours, other = tmp_path / "var", tmp_path / "shared"
    for folder in (ours, other):
        folder.mkdir(mode=0o755)
    (ours / "predictions.db").touch()
    make_private_folder(ours)
    make_private_folder(other)
    assert [stat.S_IMODE(folder.stat().st_mode) for folder in (ours, other)] == [0o700, 0o755]


def test_commands_write_private_files(tmp_path: Path) -> None:
    command = """
from stores.settings import private_umask
private_umask()
import mlflow
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
with ModelRegistry(TrackingSettings()).run("e", "r"):
    mlflow.log_text("secret", "a.txt")
"""
    environment = {**os.environ, "VAR_DIR": str(tmp_path / "var")}
    environment.pop("MLFLOW_TRACKING_URI", None)
    done = subprocess.run(
        [sys.executable, "-c", command], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found = modes(tmp_path)
    assert any(name.endswith("a.txt") for name in found)
    assert "var/mlflow.db" in found
    assert {name: mode for name, mode in found.items() if mode & 0o077} == {}


def test_the_umask_stays_as_strict_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    os.umask(0o137)
    private_umask()
    assert os.umask(0o022) == 0o177
    monkeypatch.setenv("VAR_PRIVATE", "false")
    private_umask()
    assert os.umask(0o022) == 0o022


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_is_no_component_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(NameRefused):
        path_component(name)
    with pytest.raises(NameRefused):
        VarSettings(var_dir=tmp_path / "var").folder("reports", name)
    assert not any((tmp_path / "var").glob("*/*")) if (tmp_path / "var").exists() else True


@pytest.mark.parametrize("name", ["v7-m-1a2b", "alias-champion.json", "ไทย", "a b", "...", "-x"])
def test_plain_names_stay(name: str) -> None:
    assert path_component(name) == name


def test_what_a_registry_says_leads_nowhere_else(tmp_path: Path) -> None:
    registry = ModelRegistry(TrackingSettings(var_dir=tmp_path / "var"))
    for version, model_id in (("../../up", "m"), ("7", "../../../up"), ("7", "a/b")):
        with pytest.raises(NameRefused):
            registry.cache.forget(RegisteredModel("news", version, model_id, ""))
