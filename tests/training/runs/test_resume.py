"""A run killed in the middle is gone on with, and gives what an unbroken one gives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from filelock import FileLock
from mlflow import MlflowClient
from rich.progress import Progress

from classifier.manifest import sha256_of
from stores.registry import ModelRegistry
from stores.settings import TrackingSettings
from tests import golden_messages as messages
from tests.support.killing import STEP
from tests.support.registries import with_tables
from tests.training.conftest import TINY, Trained, environment, trained
from training.data import Splits, load_data, split_data
from training.experiment.loader import load_experiment
from training.experiment.schema import Experiment
from training.runs.resume import RunFolder, run_folder

OVERRIDES = (
    # What is trained first, and is not trained again.
    "candidates.static_linear={kind: tfidf_logreg}",
    "candidates.minilm_3.schedule={checkpoint_every: 3, callbacks: ['tests.support.killing:KillAtStep']}",
    "candidates.tfidf_logreg=null",
    "candidates.tfidf_catboost=null",
    "candidates.broken=null",
)


@pytest.mark.slow
def test_a_killed_run_is_gone_on_with(first_run: Trained, tmp_path: Path) -> None:
    var = with_tables(tmp_path / "var")
    told = [argument for text in (*TINY, *OVERRIDES) for argument in ("--set", text)]
    killed = subprocess.run(
        [sys.executable, "-m", "training", "run", "quickstart", *told],
        env={**os.environ, "VAR_DIR": str(var), STEP: "5"},
        capture_output=True,
        text=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (left,) = (var / "training").iterdir()
    (network,) = left.glob("minilm_3-*")
    assert (network / "checkpoints" / "checkpoint-3" / "manifest.json").is_file()

    run = trained(var, *OVERRIDES)
    printed = " ".join(run.printed.split())
    assert messages.RUN_RESUMED in printed
    assert messages.EARLIER_RUN_TRAINED_LINEAR in printed
    assert messages.RUN_RESUMED_AT_STEP in printed
    # The same weights, to the last bit, as a run that was neither killed nor kept checkpoints.
    assert _network(run) == _network(first_run)
    assert list((var / "training").iterdir()) == []

    client = MlflowClient(tracking_uri=TrackingSettings(var_dir=var).tracking_uri)
    parent = client.get_run(run.outcome.run_id)
    before = client.get_run(parent.data.tags["continues"])
    assert before.info.status == "KILLED"
    assert before.data.tags["continued_by"] == run.outcome.run_id
    (candidate,) = client.search_runs(
        [parent.info.experiment_id],
        f"tags.mlflow.parentRunId = '{run.outcome.run_id}' and tags.candidate = 'minilm_3'",
    )
    steps = [item.step for item in client.get_metric_history(candidate.info.run_id, "train_loss")]
    assert steps == list(range(1, len(steps) + 1)), "what went before the kill is told once, too"

    # What is kept of the training, in the report and in MLflow.
    records = run.outcome.report / "training" / "minilm_3"
    history = json.loads((records / "run_history.json").read_text())
    assert [entry["step"] for entry in history["resumed"]] == [3]
    assert len(history["hmac"]) == 64
    assert history["stop_reason"].startswith("finished: all ")
    kept = {item.path for item in client.list_artifacts(candidate.info.run_id, "training")}
    assert kept == {"training/run_history.json", "training/tensorboard"}
    assert {item.path for item in client.list_artifacts(run.outcome.run_id, "report")} >= {"report/data"}
    assert "report/training" not in {
        item.path for item in client.list_artifacts(run.outcome.run_id, "report")
    }
    assert candidate.data.params["schedule.checkpoint_every"] == "3"
    assert candidate.data.metrics["out_of_memory_restarts"] == 0


def _network(run: Trained) -> str:
    assert run.outcome.winner == "minilm_3"
    assert run.outcome.version is not None
    registry = ModelRegistry(TrackingSettings(var_dir=run.var))
    return sha256_of(registry.fetch(registry.by_version(run.outcome.version.version)) / "model.onnx")


def _broken_off(experiment: Experiment, splits: Splits) -> RunFolder:
    with suppress(KeyboardInterrupt), run_folder(experiment, splits) as folder:
        folder.note("a run")
        (folder.scratch / "minilm_3" / "checkpoints" / "checkpoint-1").mkdir(parents=True)
        raise KeyboardInterrupt
    return folder


@pytest.fixture(scope="module")
def small() -> Experiment:
    return load_experiment("quickstart", ["data.limit=60"])


def test_a_run_has_its_folder_to_itself(small: Experiment, tmp_path: Path) -> None:
    splits = split_data(load_data(small.data, small.seed), small.data, small.seed)
    config = small.candidates["minilm_3"]
    registry = ModelRegistry(TrackingSettings(var_dir=tmp_path))
    with environment(tmp_path):
        broken = _broken_off(small, splits)
        with run_folder(small, splits) as again:
            assert (again.scratch, again.report, again.broken_off) == (broken.scratch, broken.report, "a run")
            with run_folder(small, splits) as beside:
                assert beside.scratch != again.scratch
                assert beside.report != again.report
                assert beside.broken_off is None
            assert again.scratch.exists()

            def scratch(**changes: object) -> Path:
                candidates = {"minilm_3": config.model_copy(update=changes)}
                changed = small.model_copy(update={"candidates": candidates})
                return again.context("minilm_3", changed, splits, registry, Progress()).scratch

            assert scratch() == scratch(note="for people")
            assert scratch() != scratch(learning_rate=0.5)
            assert scratch() != scratch(weights=str(tmp_path)), "a folder of weights"
        assert not again.scratch.exists()


def test_fresh_and_forgotten_runs_leave_nothing(small: Experiment, tmp_path: Path) -> None:
    splits = split_data(load_data(small.data, small.seed), small.data, small.seed)
    forgotten, in_use = tmp_path / "training" / "forgotten", tmp_path / "training" / "in-use"
    for folder in (forgotten, in_use):
        folder.mkdir(parents=True)
    (tmp_path / "locks").mkdir()
    lock = FileLock(tmp_path / "locks" / "in-use.lock")
    with environment(tmp_path), lock:
        for folder in (forgotten, in_use):
            os.utime(folder, (time.time() - 30 * 24 * 3600,) * 2)
        broken = _broken_off(small, splits)
        assert not forgotten.exists()
        assert in_use.exists()
        with run_folder(small, splits, fresh=True) as fresh:
            assert fresh.scratch == broken.scratch
            assert fresh.broken_off is None
            assert fresh.report != broken.report
            assert list(fresh.scratch.iterdir()) == []
