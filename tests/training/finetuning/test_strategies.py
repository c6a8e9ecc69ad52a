"""The places for losses, groups of parameters and regularisers, and that none of them disturbs a training."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tests import golden_messages as messages
from tests.training.finetuning.conftest import Place, tiny_network, weights
from training.config.network import NetworkConfig
from training.data import Splits
from training.finetuning.loop import finetune
from training.finetuning.regularizers import (
    Batch,
    Regulariser,
    Strategies,
    cross_entropy,
    decayed_groups,
    mean_of_step,
    strategies_of,
)

pytestmark = pytest.mark.slow


class Recorder(Regulariser):
    """Writes down what it sees, and changes nothing for good."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self.name, self.seen = name, seen
        self.ratios: list[float] = []

    def prepare(self, network: PreTrainedModel) -> None:
        self.seen.append(f"{self.name} prepare")

    def before_backward(self, batch: Batch) -> None:
        self.seen.append(f"{self.name} before {batch.step}")

    def after_backward(self, batch: Batch) -> None:
        head: nn.Linear = batch.network.classifier
        assert head.weight.grad is not None
        kept = [None if p.grad is None else p.grad.clone() for p in batch.network.parameters()]
        once = head.weight.grad.norm()
        batch.backward()
        self.ratios.append(float(head.weight.grad.norm() / once))
        for parameter, gradient in zip(batch.network.parameters(), kept, strict=True):
            parameter.grad = gradient

    def restore(self, network: PreTrainedModel) -> None:
        self.seen.append(f"{self.name} restore")


def test_regularisers_take_part_and_keep_the_training_as_it_was(
    place: Place, splits: Splits, tokenizer: PreTrainedTokenizerFast
) -> None:
    config = NetworkConfig(max_length=16, epochs=1, batch_size=16)
    plain, watched = (tiny_network(len(splits.labels), dropout=0.0) for _ in range(2))
    without = finetune(plain, tokenizer, config, splits, place("plain"))
    seen: list[str] = []
    recorders = (Recorder("a", seen), Recorder("b", seen))
    with_them = finetune(
        watched, tokenizer, config, splits, place("watched"), Strategies(regularisers=recorders)
    )
    assert torch.equal(weights(plain), weights(watched))
    assert without == with_them
    assert seen[:4] == ["a prepare", "b prepare", "a before 0", "b before 0"]
    assert seen[-2:] == ["b restore", "a restore"]
    # With no dropout, the second pass adds what the first gave.
    assert recorders[0].ratios == pytest.approx([2.0] * len(recorders[0].ratios), rel=1e-5)


def test_a_regulariser_that_fails_is_undone_in_order(
    place: Place, splits: Splits, tokenizer: PreTrainedTokenizerFast
) -> None:
    seen: list[str] = []

    class Failing(Recorder):
        def before_backward(self, batch: Batch) -> None:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        finetune(
            tiny_network(len(splits.labels)),
            tokenizer,
            NetworkConfig(max_length=16, epochs=1),
            splits,
            place(),
            Strategies(regularisers=(Recorder("a", seen), Failing("b", seen))),
        )
    assert seen[-2:] == ["b restore", "a restore"]


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_accumulation_makes_the_same_step_as_one_large_batch(
    place: Place, splits: Splits, tokenizer: PreTrainedTokenizerFast, smoothing: float
) -> None:
    # 48 texts: the last step has 8 of 20, in batches of 5 and 3, so a mean of means would differ.
    assert len(splits.train) == 48
    trained = []
    for name, batch_size, accumulation in (("whole", 20, 1), ("parts", 5, 4)):
        network = tiny_network(len(splits.labels), dropout=0.0)
        config = NetworkConfig(
            max_length=16,
            epochs=1,
            batch_size=batch_size,
            accumulation=accumulation,
            label_smoothing=smoothing,
        )
        finetune(network, tokenizer, config, splits, place(name))
        trained.append(weights(network))
    start = weights(tiny_network(len(splits.labels)))
    moved = (trained[0] - start).abs().max()
    # Adam turns rounding into signs where a gradient is nearly zero; all others agree.
    differ = (trained[0] - trained[1]).abs() > 0.02 * moved
    assert differ.float().mean() < 2e-3


def test_the_loss_and_the_groups_are_those_given(
    place: Place, splits: Splits, tokenizer: PreTrainedTokenizerFast
) -> None:
    def head_only(network: PreTrainedModel) -> list[dict[str, object]]:
        return [{"params": list(network.classifier.parameters()), "lr": 1e-2}]

    def doubled(logits: Tensor, labels: Tensor) -> Tensor:
        return 2 * cross_entropy(logits, labels)

    config = NetworkConfig(max_length=16, epochs=1, warmup=0)
    network, start = (tiny_network(len(splits.labels), dropout=0.0) for _ in range(2))
    history = finetune(
        network, tokenizer, config, splits, place(), Strategies(doubled, parameter_groups=head_only)
    )
    changed = {
        name
        for name, parameter in network.named_parameters()
        if not torch.equal(parameter, start.get_parameter(name))
    }
    assert changed == {"classifier.weight", "classifier.bias"}
    epoch = history.epochs[0]
    # Validation is told in plain cross-entropy, whatever the training loss is.
    assert epoch["train_loss"] > 1.5 * epoch["validation_loss"]
    assert {"accuracy", "macro_f1", "macro_precision", "macro_recall"} <= set(epoch)


def test_what_a_configuration_asks_for(splits: Splits) -> None:
    asked = strategies_of(NetworkConfig(weight_decay=0.3, label_smoothing=0.1), splits)
    network = tiny_network(len(splits.labels))
    network.bert.embeddings.requires_grad_(False)
    groups = asked.parameter_groups(network)
    assert [group["weight_decay"] for group in groups] == [0.3, 0.0]
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert sum(p.numel() for group in groups for p in group["params"]) == trained
    assert [group["weight_decay"] for group in decayed_groups(network)] == [0.01, 0.0]
    logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 0])
    expected = partial(nn.functional.cross_entropy, label_smoothing=0.1, reduction="none")(logits, labels)
    assert torch.equal(asked.loss(logits, labels), expected)


def test_a_loss_of_the_wrong_shape_is_refused() -> None:
    logits, labels = torch.zeros(3, 2), torch.tensor([0, 1, 1])
    assert (
        mean_of_step(cross_entropy, logits, labels, 6)
        == mean_of_step(cross_entropy, logits, labels, None) / 2
    )
    with pytest.raises(ValueError, match=messages.LOSS_OF_OTHER_SHAPE):
        mean_of_step(nn.functional.cross_entropy, logits, labels, None)
