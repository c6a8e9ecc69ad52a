"""Regularisers, losses, rates by depth and freezing in a real training: they work, and disturb nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn
from transformers import (
    DataCollatorWithPadding,
    PreTrainedTokenizerFast,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)

from tests import golden_messages as messages
from tests.training.finetuning.conftest import tiny_network, weights
from training.config.network import NetworkConfig
from training.data import Part, Splits
from training.errors import ExperimentInvalid
from training.finetuning.loop import finetune
from training.finetuning.regularizers import Strategies, groups_of, loss_of, regularisers_of, strategies_of
from training.finetuning.tokenization import encoded_part
from training.finetuning.trainer import ClassifierTrainer
from training.models.result import TrainingContext
from training.regularizers.losses import balanced_weights

SHAPE: dict[str, Any] = {"max_length": 16, "epochs": 2, "batch_size": 8, "accumulation": 2}


class Steps(TrainerCallback):
    """Counts the optimiser's and the scheduler's steps and writes each learning rate down."""

    def __init__(self) -> None:
        self.optimizer, self.scheduler = 0, 0
        self.rates: list[float] = []

    def on_optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        self.optimizer += 1

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.scheduler = kwargs["lr_scheduler"].last_epoch
        self.rates.append(kwargs["lr_scheduler"].get_last_lr()[0])


class Trainings:
    """Trainings of the tiny network by their options, each done once."""

    def __init__(self, place: Any, splits: Splits, tokenizer: PreTrainedTokenizerFast) -> None:
        self._place, self._splits, self._tokenizer = place, splits, tokenizer
        self._done: dict[str, tuple[nn.Module, Steps]] = {}

    def of(self, name: str, **options: Any) -> tuple[nn.Module, Steps]:
        if name not in self._done:
            steps = Steps()
            network = tiny_network(len(self._splits.labels))
            config = NetworkConfig.model_validate({**SHAPE, **options})
            finetune(network, self._tokenizer, config, self._splits, self._place(name), callbacks=[steps])
            self._done[name] = network, steps
        return self._done[name]


@pytest.fixture(scope="module")
def trainings(
    tmp_path_factory: pytest.TempPathFactory, splits: Splits, tokenizer: PreTrainedTokenizerFast
) -> Trainings:
    folder = tmp_path_factory.mktemp("regularising")

    def place(name: str) -> TrainingContext:
        progress = Progress(console=Console(quiet=True))
        return TrainingContext(name, folder / name / "bundle", folder / name, 1, progress)

    return Trainings(place, splits, tokenizer)


OPTIONS: dict[str, dict[str, Any]] = {
    "mixout": {"mixout": {"p": 0.5}},
    "awp_mixout": {"awp": {"epsilon": 0.01, "start_epoch": 0.5}, "mixout": {}},
    "frozen": {
        "freeze": {"embeddings": True, "layers": 1},
        "layer_decay": 0.8,
        "loss": {"class_weights": "balanced", "focal_gamma": 2},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIONS)
def test_steps_and_learning_rates_are_those_of_plain_training(trainings: Trainings, name: str) -> None:
    plain, expected = trainings.of("plain")
    network, steps = trainings.of(name, **OPTIONS[name])
    assert expected.optimizer == expected.scheduler == 6  # 48 texts, 16 a step, twice
    assert (steps.optimizer, steps.scheduler) == (expected.optimizer, expected.scheduler)
    assert steps.rates == pytest.approx(expected.rates)
    assert not torch.equal(weights(network), weights(plain)), "it must do something"
    # What is left is a plain network: it loads where nothing of this is known, and can learn on.
    fresh = tiny_network(network.config.num_labels)
    assert [type(module) for module in network.modules()] == [type(module) for module in fresh.modules()]
    fresh.load_state_dict(network.state_dict(), strict=True)
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert {module.p for module in network.modules() if isinstance(module, nn.Dropout)} == {0.1}


@pytest.mark.slow
def test_the_seed_fixes_them_too(trainings: Trainings) -> None:
    first, _ = trainings.of("awp_mixout", **OPTIONS["awp_mixout"])
    again, _ = trainings.of("awp_mixout_again", **OPTIONS["awp_mixout"])
    assert torch.equal(weights(first), weights(again))


class StopAfter(TrainerCallback):
    """As if the process were stopped when this number of steps is done and saved."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def on_step_end(self, args: Any, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        control.should_save = control.should_training_stop = state.global_step == self._steps


@pytest.mark.slow
def test_a_broken_off_training_ends_as_an_unbroken_one(
    tmp_path: Path, splits: Splits, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Neither has a state that a checkpoint lacks; Mixout's target is the pretrained weight, not a saved one."""
    texts = encoded_part(splits.train, splits.labels, tokenizer, 16, tmp_path / "tokens")

    def trained(name: str, *callbacks: TrainerCallback, resume: str | None = None) -> nn.Module:
        network = tiny_network(len(splits.labels))
        regularisers = regularisers_of(
            NetworkConfig.model_validate({"awp": {"start_epoch": 0.5}, "mixout": {}})
        )
        for regulariser in regularisers:
            regulariser.prepare(network)
        arguments = TrainingArguments(
            str(tmp_path / name), seed=3, max_steps=6, per_device_train_batch_size=8, learning_rate=1e-3,
            gradient_accumulation_steps=2, save_strategy="no", logging_strategy="no", report_to="none",
            disable_tqdm=True, dataloader_pin_memory=False,
        )  # fmt: skip
        trainer = ClassifierTrainer(
            network, arguments, Strategies(regularisers=regularisers), callbacks=callbacks,
            train_dataset=texts, data_collator=DataCollatorWithPadding(tokenizer),
        )  # fmt: skip
        trainer.train(resume_from_checkpoint=resume)
        for regulariser in reversed(regularisers):
            regulariser.restore(network)
        return network

    unbroken = trained("unbroken")
    broken = trained("broken", StopAfter(4))
    assert not torch.equal(weights(unbroken), weights(broken))
    resumed = trained("broken", resume=str(tmp_path / "broken" / "checkpoint-4"))
    assert torch.equal(weights(unbroken), weights(resumed))


@pytest.mark.slow
def test_what_is_frozen_stays_and_the_rest_learns(trainings: Trainings) -> None:
    network, _ = trainings.of("frozen", **OPTIONS["frozen"])
    start = tiny_network(network.config.num_labels)
    for name, parameter in network.named_parameters():
        stays = "embeddings" in name or "layer.0." in name
        assert torch.equal(parameter, start.get_parameter(name)) == stays, name


@pytest.mark.slow
def test_awp_joins_from_its_epoch_on(trainings: Trainings) -> None:
    plain, _ = trainings.of("plain")
    later, _ = trainings.of("awp_never", awp={"start_epoch": 2})
    assert torch.equal(weights(plain), weights(later))


def skewed(splits: Splits) -> Splits:
    """The training part with most texts of all labels but the first left out."""
    first = splits.labels[0]
    kept = [pair for index, pair in enumerate(splits.train) if pair[1] == first or index % 2 == 0]
    texts, labels = zip(*kept, strict=True)
    return Splits(
        Part(list(texts), list(labels)), splits.validation, splits.test, splits.holdout, splits.report
    )


def test_class_weights_come_from_the_training_part(splits: Splits) -> None:
    uneven = skewed(splits)
    counts = [uneven.train.labels.count(label) for label in uneven.labels]
    logits = torch.zeros(len(counts), len(counts))
    classes = torch.arange(len(counts))

    def asked(**loss: Any) -> Tensor:
        config = NetworkConfig.model_validate({"loss": loss})
        return loss_of(config.loss, 0.0, uneven)(logits, classes) / torch.log(torch.tensor(len(counts)))

    torch.testing.assert_close(asked(), torch.ones(len(counts)))
    torch.testing.assert_close(asked(class_weights="balanced"), balanced_weights(counts))
    torch.testing.assert_close(
        asked(class_weights="balanced", balance=0.5), balanced_weights(counts, power=0.5)
    )
    given = asked(class_weights={uneven.labels[1]: 3})
    torch.testing.assert_close(given[1] / given[0], torch.tensor(3.0))
    assert float((given * torch.tensor(counts)).sum() / sum(counts)) == pytest.approx(1)
    with pytest.raises(ExperimentInvalid, match=messages.CLASS_WEIGHT_OF_NO_LABEL):
        asked(class_weights={"sprot": 2.0})


def test_smoothing_and_focus_join(splits: Splits) -> None:
    config = NetworkConfig.model_validate({"label_smoothing": 0.1, "loss": {"focal_gamma": 2}})
    sure, labels = torch.eye(len(splits.labels))[:1] * 9, torch.tensor([0])
    both = strategies_of(config, splits).loss(sure, labels)
    smoothed = strategies_of(NetworkConfig(label_smoothing=0.1), splits).loss(sure, labels)
    assert 0 < float(both) < 1e-4 < float(smoothed)


def test_the_rate_that_logs_show_is_the_heads(splits: Splits) -> None:
    groups = groups_of(NetworkConfig(layer_decay=0.5, learning_rate=1e-3))(tiny_network(3))
    assert groups[0]["lr"] == 1e-3
    assert min(group["lr"] for group in groups) == pytest.approx(1e-3 / 8)
