"""The baseline network: it learns, stops by the validation part, and is served as any scikit-learn pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rich.progress import Progress
from sklearn.metrics import f1_score

from classifier import Classifier
from training.candidates.config import PerceptronConfig
from training.candidates.perceptron import train_perceptron
from training.candidates.trained import Trained, Workplace
from training.data import DataConfig, SplitConfig, Splits, load_data, split_data

CONFIG = PerceptronConfig(max_features=400, hidden=(16,), epochs=30, patience=3, learning_rate=0.01)


@dataclass(frozen=True)
class Case:
    trained: Trained
    classifier: Classifier
    seen: list[tuple[float, float]]


@pytest.fixture(scope="module")
def splits() -> Splits:
    data = DataConfig(limit=240, split=SplitConfig(train=0.5, validation=0.3, test=0.2, reserve=0))
    return split_data(load_data(data, 1), data, 1)


def train(splits: Splits, folder: Path) -> Case:
    (folder / "bundle").mkdir(parents=True)
    seen: list[tuple[float, float]] = []
    workplace = Workplace(
        "mlp", folder / "bundle", folder, 1, Progress(disable=True), watch=lambda *told: seen.append(told)
    )
    trained = train_perceptron(CONFIG, splits, workplace)
    trained.description.write(folder / "bundle")
    return Case(trained, Classifier.load(folder / "bundle", verify=False), seen)


@pytest.fixture(scope="module")
def case(splits: Splits, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return train(splits, tmp_path_factory.mktemp("mlp"))


def test_it_is_served_with_the_weights_of_its_best_epoch(case: Case, splits: Splits) -> None:
    epochs = case.trained.history.epochs
    best = max(epoch["macro_f1"] for epoch in epochs)
    given = np.array(splits.labels)[case.classifier.predict(splits.validation.texts).argmax(axis=1)]
    assert f1_score(splits.validation.labels, given, average="macro") == pytest.approx(best)
    assert best > 0.7, "120 articles are enough to tell topics apart"
    assert epochs[-1]["macro_f1"] < best or len(epochs) == CONFIG.epochs, "so not the last one's"


def test_it_stops_when_the_validation_part_gains_nothing(case: Case) -> None:
    scores = [epoch["macro_f1"] for epoch in case.trained.history.epochs]
    assert len(scores) < CONFIG.epochs
    assert len(scores) - 1 - scores.index(max(scores)) == CONFIG.patience
    assert [macro_f1 for _, macro_f1 in case.seen] == scores, "whoever watches is told each epoch"


def test_one_seed_gives_one_network(case: Case, splits: Splits, tmp_path: Path) -> None:
    again = train(splits, tmp_path)
    texts = splits.test.texts
    assert np.array_equal(again.classifier.predict(texts), case.classifier.predict(texts))
    assert again.trained.history == case.trained.history
    assert case.trained.figures["parameters"] == 400 * 16 + 16 + 16 * 5 + 5
