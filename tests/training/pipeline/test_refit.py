"""Training the winner once more on all texts: what is fixed, and what is left of a choice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from rich.progress import Progress

from training.config.finetuning import ScheduleConfig, SelfTrainingConfig
from training.config.network import HeadConfig, Int8Config, NetworkConfig
from training.config.tfidf import LogregConfig, PerceptronConfig
from training.data import DataConfig, Splits, load_data, split_data
from training.kinds.candidate import Candidate, train_candidate
from training.models.result import History, TrainingContext
from training.models.sklearn import train_perceptron
from training.pipeline.refit import chosen_epochs, with_fixed_epochs

INT8 = Int8Config()
PATIENT = ScheduleConfig(patience=2, evaluate_every=50)


def history(*scores: float) -> History:
    entries = [{"epoch": float(epoch), "macro_f1": score} for epoch, score in enumerate(scores, start=1)]
    return History(epochs=entries)


@pytest.fixture(scope="module")
def splits() -> Splits:
    config = DataConfig(limit=60)
    return split_data(load_data(config, 1), config, 1)


def context(folder: Path, *, fixed: bool) -> TrainingContext:
    bundle = folder / "bundle"
    bundle.mkdir(parents=True)
    progress = Progress(console=Console(quiet=True))
    return TrainingContext("candidate", bundle, folder, 1, progress, fixed_epochs=fixed)


@pytest.mark.parametrize(
    ("scores", "epochs"), [((0.2, 0.9, 0.8), 2.0), ((0.5, 0.7, 0.7), 2.0), ((0.3,), 1.0), ((), None)]
)
def test_the_first_of_the_best_epochs_was_chosen(scores: tuple[float, ...], epochs: float | None) -> None:
    assert chosen_epochs(history(*scores)) == epochs


@pytest.mark.parametrize(
    ("config", "int8", "expected"),
    [
        (NetworkConfig(epochs=8, int8=INT8), True, {"epochs": 2.0, "int8": INT8}),
        (NetworkConfig(epochs=8, int8=INT8), False, {"epochs": 2.0, "int8": None}),
        (NetworkConfig(epochs=8, schedule=PATIENT), False, {"epochs": 2.0}),
        (NetworkConfig(self_training=SelfTrainingConfig(epochs=5)), False, {"epochs": 2}),
        (PerceptronConfig(epochs=40), False, {"epochs": 2}),
        (HeadConfig(C=3, int8=INT8), False, {"C": 3, "int8": None}),
        (LogregConfig(C=3), False, {"C": 3}),
    ],
)
def test_nothing_is_left_to_choose(config: Candidate, int8: bool, expected: dict[str, object]) -> None:
    fixed = with_fixed_epochs(config, history(0.2, 0.9, 0.8), int8=int8)
    assert {key: getattr(fixed, key) for key in expected} == expected
    if isinstance(fixed, NetworkConfig):
        assert fixed.schedule.patience is None
        if fixed.self_training:
            assert fixed.self_training.epochs == 2.0


def test_a_perceptron_keeps_its_last_weights(splits: Splits, tmp_path: Path) -> None:
    config = PerceptronConfig(epochs=4, patience=1, hidden=(8,), min_df=1)
    learned = replace(splits, validation=splits.train)
    trained = train_perceptron(config, learned, context(tmp_path / "fixed", fixed=True))
    assert len(trained.history.epochs) == 4
    chosen = train_perceptron(config, learned, context(tmp_path / "chosen", fixed=False))
    assert len(chosen.history.epochs) <= 4


@pytest.mark.slow
def test_a_network_is_evaluated_at_its_end_only(splits: Splits, tmp_path: Path) -> None:
    config = NetworkConfig(weights="random-bert", epochs=6, max_length=16, batch_size=8, schedule=PATIENT)
    fixed = with_fixed_epochs(config, history(0.2, 0.9), int8=False)
    trained = train_candidate(fixed, splits, context(tmp_path, fixed=True))
    assert [entry["epoch"] for entry in trained.history.epochs] == [2.0]
    assert trained.history.stop_reason.startswith("finished")
