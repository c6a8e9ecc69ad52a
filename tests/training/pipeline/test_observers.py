"""The steps of a run, as an observer sees them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from stores.errors import StoreError
from tests.support.registries import with_tables
from tests.training.conftest import environment
from tests.training.pipeline.test_hostile_names import small, write_texts
from tests.training.pipeline.test_kept_after_failure import _refusing
from training.logs import log_to_file
from training.pipeline.run import run_experiment
from training.runs.run_events import Observers, RunObserver
from training.settings import TrainingSettings

STEPS = [name for name in vars(RunObserver) if not name.startswith("_")]
CANDIDATE = ["candidate_started", "candidate_opened", "candidate_evaluated", "candidate_finished"]
COMPLETE = [
    "registry_repaired", "started", "data_split", "candidates_checked", "opened", "data_checked",
    *CANDIDATE, *CANDIDATE, "candidate_started", "candidate_opened", "candidate_failed",
    "candidates_timed", "candidates_compared", "winner_compared", "label_errors_found", "gate_decided", "registered",
    "finished",
]  # fmt: skip


class Recorder(RunObserver):
    """Keeps the names of the steps, in order."""

    def __init__(self, steps: list[tuple[str, str]], name: str = "") -> None:
        for step in STEPS:
            setattr(self, step, lambda *_, step=step: steps.append((name, step)))


def test_each_step_reaches_each_observer_in_order() -> None:
    steps: list[tuple[str, str]] = []
    observers: Any = Observers(Recorder(steps, "first"), Recorder(steps, "second"))
    for step in STEPS:
        getattr(observers, step)()
    assert steps == [(name, step) for step in STEPS for name in ("first", "second")]


@pytest.mark.slow
def test_the_steps_of_a_run(tmp_path: Path) -> None:
    candidates = {
        "logreg": {"kind": "tfidf_logreg", "min_df": 1},
        "other": {"kind": "tfidf_logreg", "min_df": 1, "C": 2.0, "baseline": False},
        "hopeless": {"kind": "network", "weights": str(tmp_path / "no such folder")},
    }
    experiment = small(write_texts(tmp_path / "texts.csv", ["billing", "delivery"]), candidates=candidates)
    steps: list[tuple[str, str]] = []
    with environment(tmp_path / "var"), log_to_file(TrainingSettings()) as log:
        run_experiment(experiment, console=Console(file=io.StringIO()), also=[Recorder(steps)])
    assert [step for _, step in steps] == COMPLETE
    events = [json.loads(line)["event"] for line in log.read_text(encoding="utf-8").splitlines()]
    assert events == [
        "run_started", "file_read", "data_divided", "candidate_refused", "candidate_started", "candidate_judged",
        "candidate_started", "candidate_judged", "candidate_started", "candidate_failed", "registered",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_run_that_fails_ends_with_that_step(tmp_path: Path) -> None:
    var = with_tables(tmp_path / "var")
    experiment = small(write_texts(tmp_path / "texts.csv", ["billing", "delivery"]))
    mend = _refusing("model_versions")(var)
    steps: list[tuple[str, str]] = []
    with environment(var), pytest.raises(StoreError):
        run_experiment(experiment, console=Console(file=io.StringIO()), also=[Recorder(steps)])
    assert [step for _, step in steps][-2:] == ["gate_decided", "failed"]
    mend()
    steps.clear()
    with environment(var):
        run_experiment(experiment, console=Console(file=io.StringIO()), also=[Recorder(steps)])
    again = [step for _, step in steps]
    assert again[again.index("candidate_opened") + 1] == "candidate_resumed"
    assert again[-1] == "finished"
