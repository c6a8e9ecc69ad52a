from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from tests.support.registries import with_tables
from training.experiment.loader import load_experiment
from training.experiment.schema import Experiment
from training.pipeline.run import run_experiment
from training.reporting.run_report import Outcome

TINY = (
    "data.limit=120",
    "candidates.cascade=null",
    "candidates.static_linear=null",
    "candidates.minilm_3.layers=2",
    "candidates.minilm_3.max_length=32",
    "candidates.minilm_3.epochs=1",
    "candidates.minilm_3.batch_size=8",
    "candidates.tfidf_catboost.iterations=10",
    "data.checks.language_texts=60",
    "behaviour.texts=30",
    # No weights of this name: it must fail, and take nothing else with it.
    "candidates.broken={kind: network, weights: no/such/folder/at/all}",
)
"""The quickstart at a size that trains in seconds; with a candidate that fails."""


@dataclass(frozen=True)
class Trained:
    var: Path
    experiment: Experiment
    outcome: Outcome
    printed: str


@contextmanager
def environment(var: Path) -> Iterator[None]:
    """VAR_DIR, with an empty registry if it has none, and nothing else of the user's settings."""
    with_tables(var)
    kept = dict(os.environ)
    os.environ["VAR_DIR"] = str(var)
    for name in ("MLFLOW_TRACKING_URI", "MODEL_NAME", "MODEL_SIGNING_KEY"):
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def trained(var: Path, *overrides: str) -> Trained:
    """Run the tiny quickstart with its state under `var`."""
    experiment = load_experiment("quickstart", [*TINY, *overrides])
    stream = io.StringIO()
    with environment(var):
        outcome = run_experiment(experiment, console=Console(file=stream, width=110))
    return Trained(var, experiment, outcome, stream.getvalue())


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The tiny quickstart, run once with an empty registry."""
    return trained(tmp_path_factory.mktemp("training") / "var")


@pytest.fixture(scope="session")
def second_run(first_run: Trained) -> Trained:
    """The same run again, into the same registry."""
    return trained(first_run.var)
