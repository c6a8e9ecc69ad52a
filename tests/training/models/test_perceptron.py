"""The baseline network: it learns, stops by the validation part, and is served as any scikit-learn pipeline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.progress import Progress
from sklearn.metrics import f1_score
from sklearn.neural_network import MLPClassifier

from classifier import Classifier
from classifier.runtimes.sklearn import load_skops
from training.config.tfidf import PerceptronConfig
from training.data import DataConfig, SplitConfig, Splits, load_data, split_data
from training.models import sklearn as perceptron
from training.models.result import Trained, TrainingContext
from training.models.sklearn import train_perceptron

CONFIG = PerceptronConfig(max_features=400, hidden=(16,), epochs=30, patience=3, learning_rate=0.01)


@dataclass(frozen=True)
class Case:
    trained: Trained
    classifier: Classifier
    seen: list[tuple[float, float]]


@pytest.fixture(scope="module")
def splits() -> Splits:
    data = DataConfig(limit=240, split=SplitConfig(train=0.5, validation=0.3, test=0.2, holdout=0))
    return split_data(load_data(data, 1), data, 1)


def train(splits: Splits, folder: Path) -> Case:
    (folder / "bundle").mkdir(parents=True)
    seen: list[tuple[float, float]] = []
    context = TrainingContext(
        "mlp", folder / "bundle", folder, 1, Progress(disable=True), watch=lambda *told: seen.append(told)
    )
    trained = train_perceptron(CONFIG, splits, context)
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
    assert [macro_f1 for _, macro_f1 in case.seen] == [epoch["macro_f1"] for epoch in epochs]


@pytest.mark.parametrize(
    ("scores", "best", "trained_epochs"),
    [
        (
            (0.1, 0.6, 0.5, 0.6, 0.4),
            2,
            5,
        ),  # nothing better than the second in three epochs; an equal one is no better
        ((0.6, 0.5, 0.7, 0.5, 0.4, 0.3), 3, 6),  # patience counts from the best one
        ((0.6,) * 4, 1, 4),
    ],
)
def test_it_stops_after_its_patience_at_the_best_epoch(
    splits: Splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    scores: tuple[float, ...], best: int, trained_epochs: int,
) -> None:  # fmt: skip
    """Which epoch is best is scripted, since in a real training it depends on the processor; all else is real."""
    coefficients: list[list[np.ndarray]] = []
    measured = perceptron._figures

    def scripted(network: MLPClassifier, *given: Any) -> dict[str, float]:
        coefficients.append([layer.copy() for layer in (*network.coefs_, *network.intercepts_)])
        return {
            **measured(network, *given),
            "macro_f1": (*scores, *[0.0] * CONFIG.epochs)[len(coefficients) - 1],
        }

    monkeypatch.setattr(perceptron, "_figures", scripted)
    case = train(splits, tmp_path)
    assert len(case.trained.history.epochs) == len(coefficients) == trained_epochs
    served = load_skops(tmp_path / "bundle" / "pipeline.skops")[-1]
    kept = [*served.coefs_, *served.intercepts_]
    assert all(np.array_equal(one, other) for one, other in zip(kept, coefficients[best - 1], strict=True))
    assert not np.array_equal(kept[0], coefficients[-1][0])


def test_one_seed_gives_one_network(case: Case, splits: Splits, tmp_path: Path) -> None:
    again = train(splits, tmp_path)
    texts = splits.test.texts
    assert np.array_equal(again.classifier.predict(texts), case.classifier.predict(texts))
    assert again.trained.history == case.trained.history
    assert case.trained.figures["parameters"] == 400 * 16 + 16 + 16 * 5 + 5
