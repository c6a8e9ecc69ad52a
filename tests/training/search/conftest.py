"""A search that takes seconds: a perceptron on few texts."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import optuna
import pytest
from rich.console import Console
from rich.progress import Progress

from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests.training.conftest import environment
from training.data import load_data, split_data
from training.experiment.loader import load_experiment
from training.experiment.schema import Experiment
from training.pipeline.run import run_experiment
from training.reporting.run_report import Outcome
from training.search.trials import search

SMALL = """
name: small_search
description: a search that takes seconds
seed: 5
data: {limit: 120, split: {train: 0.4, validation: 0.4, test: 0.2, holdout: 0}}
candidates:
  plain: {kind: tfidf_logreg}
  mlp: {kind: tfidf_mlp, baseline: false, hidden: [8], epochs: 6, max_features: 300}
phases:
  baseline: [plain]
  optimised: [mlp]
search:
  candidate: mlp
  trials: 8
  startup_trials: 4
  heartbeat: 1
  pruner: {startup_trials: 4, warmup_epochs: 1}
  space:
    learning_rate: {low: 1.0e-4, high: 3.0e-2, log: true}
    hidden: {choices: [[4], [16], [16, 16]]}
    epochs: {low: 4, high: 8}
"""


@dataclass(frozen=True)
class Ran:
    var: Path
    experiment: Experiment
    outcome: Outcome
    printed: str


@pytest.fixture(scope="session")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("search") / "small_search.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def ran(small_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """All phases, in one process."""
    var = tmp_path_factory.mktemp("searched") / "var"
    experiment = load_experiment(str(small_file))
    stream = io.StringIO()
    with environment(var):
        outcome = run_experiment(experiment, console=Console(file=stream, width=100))
    return Ran(var, experiment, outcome, stream.getvalue())


@pytest.fixture
def searching(small_file: Path, tmp_path: Path) -> Iterator[object]:
    """Searches this number of trials, each time as a new process would."""

    def until(trials: int, *overrides: str) -> optuna.Study:
        experiment = load_experiment(str(small_file), [f"search.trials={trials}", *overrides])
        splits = split_data(load_data(experiment.data, experiment.seed), experiment.data, experiment.seed)
        registry = ModelRegistry(TrackingSettings())
        return search(experiment, splits, registry, tmp_path / "scratch", Progress(disable=True))

    with environment(tmp_path / "var"):
        yield until
