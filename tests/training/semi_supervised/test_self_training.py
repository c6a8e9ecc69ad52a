"""Self-training: what is learned from, what never is, and a whole candidate on a small random network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.progress import Progress

from classifier import Classifier
from tests import golden_messages as messages
from training.candidates.transformer import train_network
from training.config.finetuning import SelfTrainingConfig
from training.config.network import NetworkConfig
from training.data import DataConfig, Splits, load_data, split_data
from training.data.deduplication import near_duplicate_groups
from training.errors import ExperimentInvalid
from training.models.result import TrainingContext
from training.semi_supervised.self_training import (
    SoftTargets,
    pseudo_labelled,
    teacher_config,
    with_temperature,
)

SPLIT = {"train": 0.3, "validation": 0.2, "test": 0.2, "holdout": 0.1, "unlabelled": 0.2}


@pytest.fixture(scope="module")
def splits() -> Splits:
    config = DataConfig.model_validate({"limit": 150, "split": SPLIT})
    return split_data(load_data(config, 3), config, 3)


def test_no_held_out_text_or_near_copy_is_learned_from(splits: Splits) -> None:
    asked: list[str] = []

    def ask(texts: list[str]) -> np.ndarray:
        asked.extend(texts)
        return np.full((len(texts), 5), 0.2, dtype=np.float32)

    found = pseudo_labelled(SelfTrainingConfig(), ask, splits, 3)
    assert asked == list(splits.unlabelled) == found.texts
    held_out = [*splits.validation.texts, *splits.test.texts, *splits.holdout.texts]
    assert not set(asked) & {*held_out, *splits.train.texts}
    groups = near_duplicate_groups([*held_out, *asked], 0.8)
    assert not [group for group in groups if group[0] < len(held_out)]


def test_limit_and_confidence_leave_texts_out(splits: Splits) -> None:
    def ask(texts: list[str]) -> np.ndarray:
        sure = np.linspace(0.4, 1.0, len(texts), dtype=np.float32)
        return np.stack([sure, 1 - sure], axis=1)

    assert len(pseudo_labelled(SelfTrainingConfig(limit=10), ask, splits, 3)) == 10
    found = pseudo_labelled(SelfTrainingConfig(confidence=0.9), ask, splits, 3)
    assert 0 < len(found) < len(splits.unlabelled)
    assert found.probabilities.max(axis=1).min() >= 0.9
    nobody = SelfTrainingConfig(confidence=1.0, temperature=2.0)
    with pytest.raises(ExperimentInvalid, match=messages.NO_CONFIDENT_TEXT):
        pseudo_labelled(nobody, lambda texts: np.full((len(texts), 2), 0.5, dtype=np.float32), splits, 3)
    with pytest.raises(ExperimentInvalid, match=messages.NO_UNLABELLED_TEXT):
        pseudo_labelled(SelfTrainingConfig(), ask, replace(splits, unlabelled=()), 3)


def test_softness_sharpens_and_flattens() -> None:
    told = np.asarray([[0.8, 0.2]], dtype=np.float32)
    assert with_temperature(told, 0.5)[0, 0] == pytest.approx(0.64 / 0.68)
    assert with_temperature(told, 1.0) == pytest.approx(told)
    assert with_temperature(told, 4.0)[0, 0] < 0.8


def test_targets_are_found_whatever_the_padding() -> None:
    targets = np.asarray([[1.0, 0.0], [0.25, 0.75]], dtype=np.float32)
    objective = SoftTargets([[5, 6], [7]], targets)

    class Said:
        logits = torch.zeros(2, 2)

    batch = {
        "input_ids": torch.tensor([[7, 0, 0], [5, 6, 0]]),
        "attention_mask": torch.tensor([[1, 0, 0], [1, 1, 0]]),
        "labels": torch.tensor([0, 0]),
    }
    loss, _ = objective(lambda **_: Said, batch)  # type: ignore[arg-type]
    assert float(loss) == pytest.approx(np.log(2), abs=1e-6)


def test_teachers_are_trained_as_the_candidate() -> None:
    candidate = NetworkConfig(
        layers=3, learning_rate=1e-4, pooling="mean", self_training=SelfTrainingConfig()
    )
    assert teacher_config(candidate) == candidate
    larger = SelfTrainingConfig(teacher_weights="a/larger-one", teacher_learning_rate=5e-5)
    taught = teacher_config(candidate.model_copy(update={"self_training": larger}))
    assert (taught.weights, taught.layers, taught.learning_rate) == ("a/larger-one", None, 5e-5)
    assert (taught.pooling, taught.epochs) == ("mean", candidate.epochs)


@pytest.mark.slow
def test_a_self_trained_candidate_is_one_network_as_any_other(splits: Splits, tmp_path: Path) -> None:
    config = NetworkConfig.model_validate(
        {
            "layers": 1,
            "max_length": 48,
            "epochs": 2,
            "learning_rate": 2e-3,
            "batch_size": 8,
            "pooling": "mean",
            "self_training": {
                "teacher_weights": "all-minilm-l6-v2",  # with all of its layers
                "teacher_learning_rate": 1e-4,
                "graph": {"neighbours": 10},
                "epochs": 3,
                "learning_rate": 2e-3,
                "batch_size": 8,
                "temperature": 0.5,
            },
        }
    )
    context = TrainingContext("lifted", tmp_path / "bundle", tmp_path, 3, Progress(disable=True))
    context.bundle.mkdir()
    trained = train_network(config, splits, context)
    assert trained.figures["pseudo_labelled"] == len(splits.unlabelled)
    assert 0.2 < trained.figures["pseudo_confidence"] <= 1
    assert trained.figures["parity_difference"] < 1e-3
    assert len(trained.history.epochs) == 3
    assert trained.figures["parameters"] < 15e6, "one layer and the embeddings, whoever taught it"
    trained.description.write(context.bundle)
    said = Classifier.load(context.bundle, verify=False).predict(splits.test.texts)
    assert said.shape == (len(splits.test), 5)
    right = np.asarray(splits.labels)[said.argmax(axis=1)] == np.asarray(splits.test.labels)
    assert right.mean() > 0.5  # a fifth would be chance
