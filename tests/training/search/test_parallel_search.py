"""Two processes at one search: in PostgreSQL, where one is killed in the middle of a trial; and on Ray."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import psutil
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState
from rich.console import Console
from sqlalchemy import create_engine, inspect, text

from tests import golden_messages as messages
from tests.stores.conftest import postgres as postgres
from tests.training.conftest import environment
from training.errors import SearchUnavailable
from training.experiment.loader import load_experiment
from training.search.phase import join_search_on_ray
from training.search.study import settings_of
from training.search.trials import done

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[3]
_PATIENCE_SECONDS = 200


@pytest.fixture
def processes() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Started processes, none of which survives the test."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for process in started:
        process.kill()
        process.wait()


def study_names(address: str) -> list[str]:
    """Studies in a database that may not have its tables yet."""
    engine = create_engine(address)
    try:
        if not inspect(engine).has_table("studies"):
            return []
        with engine.connect() as connection:
            return list(connection.scalars(text("SELECT study_name FROM studies")))
    finally:
        engine.dispose()


def running(study: optuna.Study, process: int) -> list[int]:
    """Numbers of the trials that a process is at."""
    return [
        trial.number
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if trial.user_attrs.get("process") == process and trial.intermediate_values
    ]


def test_two_share_a_study_and_a_killed_trial_is_tried_again(
    small_file: Path, tmp_path: Path, postgres: str, processes: list[subprocess.Popen[bytes]]
) -> None:
    command = [
        sys.executable, "-m", "training", "search", str(small_file), "--set", "search.trials=3",
        "--set", "search.pruner.kind=none", "--set", "data.limit=100",
        # Long enough to be met in a trial, whatever the machine.
        "--set", "candidates.mlp.patience=400", "--set", "candidates.mlp.batch_size=2",
        "--set", "search.space={learning_rate: {low: 0.0001, high: 0.01, log: true}, epochs: {low: 9, high: 12}}",
    ]  # fmt: skip
    environment = {
        **os.environ, "VAR_DIR": str(tmp_path / "var"), "SEARCH_URL": postgres, "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    for _ in range(2):
        processes.append(subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL))
    deadline = time.monotonic() + _PATIENCE_SECONDS

    def waited(condition: str) -> None:
        assert time.monotonic() < deadline, condition
        time.sleep(0.1)

    victim, survivor = processes
    while not (names := study_names(postgres)):
        waited("a study was made")
    storage = RDBStorage(postgres)
    study = optuna.load_study(study_name=names[0], storage=storage)
    while not (killed := running(study, victim.pid)):
        waited("the first process is in a trial")
    victim.kill()
    assert survivor.wait(timeout=_PATIENCE_SECONDS) == 0

    trials, finished = study.get_trials(), done(study)
    storage.engine.dispose()
    assert finished >= 3
    (lost,) = [trial for trial in trials if trial.state == TrialState.FAIL]
    assert lost.number == killed[0]
    (retried,) = [trial for trial in trials if trial.system_attrs.get("failed_trial") == lost.number]
    assert retried.state == TrialState.COMPLETE
    assert retried.params == lost.params
    assert {trial.user_attrs["process"] for trial in trials} == {victim.pid, survivor.pid}
    assert len({trial.params["learning_rate"] for trial in trials}) == len(trials) - 1, "nobody drew the same"
    log = (tmp_path / "var" / "logs" / "training.log").read_text().splitlines()
    assert {json.loads(line)["process"] for line in log} == {victim.pid, survivor.pid}


def test_ray_processes_share_a_study_and_its_pruning(small_file: Path, tmp_path: Path) -> None:
    var = tmp_path / "var"
    command = [
        sys.executable, "-m", "training", "search", str(small_file), "--set", "search.trials=8",
        "--set", "search.startup_trials=8", "--set", "search.pruner.startup_trials=1",
        # One rate learns, the other one nothing at all.
        "--set", "search.space={learning_rate: {choices: [1.0e-9, 0.01]}}",
    ]  # fmt: skip
    with subprocess.Popen(
        [*command, "--engine", "ray", "--workers", "2"],
        cwd=ROOT,
        env={**os.environ, "VAR_DIR": str(var), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as run:
        said, _ = run.communicate(timeout=_PATIENCE_SECONDS)

    assert run.returncode == 0, said
    storage = RDBStorage(f"sqlite:///{var / 'search.db'}")
    study = optuna.load_study(study_name=None, storage=storage)
    trials, finished = study.get_trials(), done(study)
    storage.engine.dispose()
    assert finished >= 8
    pruned = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert pruned
    assert {settings_of(trial)["learning_rate"] for trial in pruned} == {1e-9}
    assert said.splitlines() == [f"{study.study_name}: {finished} trials are done."]
    assert run.pid not in {trial.user_attrs["process"] for trial in trials}
    assert all(not psutil.pid_exists(trial.user_attrs["process"]) for trial in trials)


def test_a_search_on_a_cluster_needs_addresses_that_all_reach(small_file: Path, tmp_path: Path) -> None:
    with environment(tmp_path / "var"):
        experiment = load_experiment(str(small_file))
        with pytest.raises(SearchUnavailable, match=messages.SHARED_SEARCH_WITHOUT_STORE):
            join_search_on_ray(experiment, Console(quiet=True), address="127.0.0.1:6379", workers=1)
