"""The examples of adding a kind of candidate and a runtime: they run, and touch nothing but their own file."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAX_LINES = 60


def run(*command: str, **variables: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    found = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short(path: Path) -> None:
    code = path.read_text(encoding="utf-8").split('"""', 2)[2]
    assert len([line for line in code.splitlines() if line.strip()]) < MAX_LINES


def test_a_runtime_of_the_example_seals_and_classifies() -> None:
    assert run("-m", "examples.add_runtime").startswith("{'business': 0.73")


_TRAIN = """
import json, sys
import examples.add_candidate
from training.experiment.loader import load_experiment
from training.experiment.schema import Experiment
from training.pipeline.run import run_experiment
experiment = load_experiment("quickstart", json.loads(sys.argv[1]))
outcome = run_experiment(experiment)
print(json.dumps({
    "winner": outcome.winner,
    "alpha": experiment.candidates["bayes"].alpha,
    "schema": "NaiveBayesConfig" in Experiment.model_json_schema()["$defs"],
}))
"""


def test_a_kind_of_the_example_is_trained_and_registered(tmp_path: Path) -> None:
    overrides = [
        "data.limit=150",
        "candidates.cascade=null",
        "candidates.static_linear=null",
        "candidates.minilm_3=null",
        "candidates.tfidf_catboost=null",
        "candidates.bayes={kind: naive_bayes, alpha: 0.5}",
    ]
    printed = run("-c", _TRAIN, json.dumps(overrides), VAR_DIR=str(tmp_path))
    found = json.loads(printed.splitlines()[-1])
    assert found == {"winner": "bayes", "alpha": 0.5, "schema": True}
