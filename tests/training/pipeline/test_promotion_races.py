"""What a run does where others promote meanwhile, and where it was killed between registering and promoting."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from stores.alias_changes import CHALLENGER, CHAMPION, AliasChanges
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests.support.bundles import registered, sealed_tfidf_bundle
from tests.support.registries import with_tables
from tests.training.conftest import Trained, environment
from training.experiment.loader import load_experiment
from training.pipeline import register as registering
from training.pipeline.run import run_experiment

pytestmark = pytest.mark.slow

CLASSICAL = (
    "data.limit=120",
    "candidates.cascade=null",
    "candidates.static_linear=null",
    "candidates.minilm_3=null",
    "candidates.tfidf_catboost=null",
    "baselines_may_win=true",
    "data.checks.language_texts=60",
    "behaviour.texts=10",
)


def trained(var: Path, *overrides: str) -> Trained:
    experiment = load_experiment("quickstart", [*CLASSICAL, *overrides])
    stream = io.StringIO()
    with environment(var):
        outcome = run_experiment(experiment, console=Console(file=stream, width=110))
    return Trained(var, experiment, outcome, stream.getvalue())


def registry_in(var: Path) -> ModelRegistry:
    return ModelRegistry(TrackingSettings(var_dir=var))


def test_a_champion_that_came_after_the_gate_is_compared_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    var = with_tables(tmp_path / "var")
    sealed_tfidf_bundle(tmp_path / "better")
    other = registry_in(var)
    registered(other, tmp_path / "better", promote=False)
    logged = ModelRegistry.log_bundle

    def meanwhile(self: ModelRegistry, folder: Path) -> str:
        other.promote(
            "1", expected=None
        )  # as another run does it, when this one's gate has found no champion
        return logged(self, folder)

    monkeypatch.setattr(ModelRegistry, "log_bundle", meanwhile)
    run = trained(var)
    decision = run.outcome.decision
    assert decision is not None
    assert decision.champion_version == "1"
    assert not decision.promoted
    again = "Decided again: there was no champion at first, and version 1 was champion at promotion."
    assert again in decision.reasons
    assert other.aliases() == {CHAMPION: "1", CHALLENGER: "2"}
    tags = other.by_version("2").tags
    assert (tags["gate"], tags["compared_with_version"]) == ("failed", "1")
    assert "macro_f1_gain" in tags


def interrupting(method: Callable[..., Any], *, before: bool) -> Callable[..., Any]:
    def interrupted(*args: Any, **kwargs: Any) -> Any:
        if not before:
            method(*args, **kwargs)
        raise KeyboardInterrupt

    return interrupted


@pytest.mark.parametrize("fit_all", ["fit_all=false", "fit_all=true"])
@pytest.mark.parametrize("before", [True, False], ids=["before_promoting", "after_promoting"])
def test_a_run_ended_at_its_promotion_registers_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool, fit_all: str
) -> None:
    var = with_tables(tmp_path / "var")
    with monkeypatch.context() as patch:
        patch.setattr(AliasChanges, "promote", interrupting(AliasChanges.promote, before=before))
        with pytest.raises(KeyboardInterrupt):
            trained(var, fit_all)
    registry = registry_in(var)
    versions = [found.version for found in registry.versions()]
    assert versions == (["2", "1"] if fit_all == "fit_all=true" else ["1"])
    assert registry.aliases() == ({} if before else {CHAMPION: versions[0]})

    run = trained(var, fit_all)
    assert run.outcome.decision is not None
    assert run.outcome.decision.promoted
    assert run.outcome.version is not None
    assert run.outcome.version.version == versions[0]
    assert [found.version for found in registry.versions()] == versions
    assert registry.aliases() == {CHAMPION: versions[0]}


def test_of_two_runs_at_once_one_is_compared_with_the_other(tmp_path: Path) -> None:
    var = with_tables(tmp_path / "var")
    told = [argument for text in CLASSICAL for argument in ("--set", text)]
    command = [sys.executable, "-m", "training", "run", "quickstart", *told]
    runs = [
        subprocess.Popen(
            command,
            env={**os.environ, "VAR_DIR": str(var)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(2)
    ]
    printed = [run.communicate(timeout=500)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], printed
    registry = registry_in(var)
    aliases = registry.aliases()
    assert sorted(aliases) == [CHALLENGER, CHAMPION], "the same model gains nothing on itself"
    assert {*aliases.values()} == {"1", "2"}
    tags = registry.by_version(aliases[CHALLENGER]).tags
    assert tags["compared_with_version"] == aliases[CHAMPION]
    assert "compared_with_version" not in registry.by_version(aliases[CHAMPION]).tags


def test_a_judgement_that_never_holds_ends_as_challenger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    var = with_tables(tmp_path / "var")
    monkeypatch.setattr(registering, "_MOST_JUDGEMENTS", 1)
    sealed_tfidf_bundle(tmp_path / "better")
    other = registry_in(var)
    registered(other, tmp_path / "better", promote=False)
    logged = ModelRegistry.log_bundle

    def meanwhile(self: ModelRegistry, folder: Path) -> str:
        other.promote("1")
        return logged(self, folder)

    monkeypatch.setattr(ModelRegistry, "log_bundle", meanwhile)
    run = trained(var)
    assert run.outcome.decision is not None
    assert not run.outcome.decision.promoted
    assert other.aliases() == {CHAMPION: "1", CHALLENGER: "2"}
    assert other.by_version("2").tags["gate"] == "failed"
