"""Losses, parameter groups and regularisers: what a training is given beside its data, built from its configuration.

Each is independent of the others, of the schedule, of accumulation and of checkpoints::

    class Shrink(Regulariser):
        def after_backward(self, batch: Batch) -> None:
            for parameter in batch.network.parameters():
                if parameter.grad is not None:
                    parameter.grad.add_(parameter.detach(), alpha=1e-4)

    finetune(network, tokenizer, config, splits, context, Strategies(regularisers=(Shrink(),)))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from training.config.finetuning import AwpConfig, FreezeConfig, LossConfig, MixoutConfig
from training.config.network import NetworkConfig
from training.data import Splits
from training.errors import ExperimentInvalid
from training.regularizers.awp import AdversarialWeightPerturbation
from training.regularizers.depth import freeze, parameter_groups
from training.regularizers.losses import ClassificationLoss, balanced_weights, text_mean_one
from training.regularizers.mixout import apply_mixout

Loss = Callable[[Tensor, Tensor], Tensor]
"""(logits (n, labels) in float32, labels (n,)) → the loss of each text, (n,).

The trainer takes the mean over all texts of a step, however many batches they came in, so accumulation is exact for
any loss. A loss with weights should weigh so that its mean over the training part is of the size of cross-entropy.
"""

Objective = Callable[[PreTrainedModel, Mapping[str, Tensor]], tuple[Tensor, Any]]
"""(network, batch: what it reads, and `labels`) → the mean loss over the batch's texts, and the network's output.

For a training whose loss needs more than logits: a student's hidden states, say.
"""

ParameterGroups = Callable[[PreTrainedModel], list[dict[str, Any]]]
"""Network → what AdamW takes: `params`, and where they differ from the configuration's, `lr` and `weight_decay`.

The schedule multiplies each group's rate; the first group's rate is the one that logs show. Parameters that stand in no
group, or do not require gradients, are not trained.
"""


@dataclass(frozen=True)
class Batch:
    """One pass through the network: a whole step, or with accumulation a part of one."""

    network: PreTrainedModel
    """The network in training; `.grad` holds the sum over the batches of this step so far."""
    epoch: float
    """Passes over the data so far, with fraction."""
    step: int
    """Optimiser steps taken so far."""
    backward: Callable[[], Tensor]
    """Compute the loss of this batch again, with the weights as they now are, and add its gradients to `.grad`, scaled
    as the normal pass is; returns the loss as scaled, without graph."""


class Regulariser:
    """Takes part in a training; does nothing unless its methods are overridden.

    Called in this order: `prepare` once, for each batch `before_backward`, the normal pass, `after_backward`, and in
    the end, whatever happened, `restore`.
    """

    def prepare(self, network: PreTrainedModel) -> None:
        """Before training, with the weights it starts from: a checkpoint is loaded, and the optimiser made, after this.

        Modules may be replaced; the names in `state_dict()` must stay, because checkpoints are kept by them.
        """

    def before_backward(self, batch: Batch) -> None:
        """Before a batch's normal pass."""

    def after_backward(self, batch: Batch) -> None:
        """After a batch's normal pass, before gradients are clipped; weights that are changed must be put back."""

    def restore(self, network: PreTrainedModel) -> None:
        """After training: leave a network that computes as if this had never been there, with the trained weights."""


def cross_entropy(logits: Tensor, labels: Tensor, *, smoothing: float = 0.0) -> Tensor:
    """Negative log-probability of each true label, (n,); with `smoothing`, of all labels in that share."""
    return functional.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)


def decayed_groups(network: PreTrainedModel, *, weight_decay: float = 0.01) -> list[dict[str, Any]]:
    """Two groups: weights, which decay, and biases and normalisations (one-dimensional), which do not."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [item for item in trained if item.ndim > 1], "weight_decay": weight_decay},
        {"params": [item for item in trained if item.ndim <= 1], "weight_decay": 0.0},
    ]


@dataclass(frozen=True)
class Strategies:
    """How one training differs from plain fine-tuning."""

    loss: Loss = cross_entropy
    parameter_groups: ParameterGroups = decayed_groups
    regularisers: tuple[Regulariser, ...] = ()
    objective: Objective | None = None
    """What is minimised in place of `loss`."""


def mean_of_step(loss: Loss, logits: Tensor, labels: Tensor, texts_of_step: Tensor | int | None) -> Tensor:
    """This batch's share of the mean loss of its step: the sum over the batch by the number of texts of the step."""
    each = loss(logits.float(), labels)
    if each.shape != labels.shape:
        raise ValueError(
            f"a loss gives one value a text, shape {tuple(labels.shape)}; this one gave {tuple(each.shape)}"
        )
    return each.sum() / (len(labels) if texts_of_step is None else texts_of_step)


def strategies_of(config: NetworkConfig, splits: Splits) -> Strategies:
    """What a candidate's configuration asks for."""
    return Strategies(
        loss=loss_of(config.loss, config.label_smoothing, splits),
        parameter_groups=groups_of(config),
        regularisers=regularisers_of(config),
    )


def loss_of(config: LossConfig, smoothing: float, splits: Splits) -> Loss:
    """The loss with its class weights, counted on the training part, in the order of the labels.

    Raises:
        ExperimentInvalid: a weight is given for a label that there is not.
    """
    return ClassificationLoss(
        weights=_class_weights(config, splits), gamma=config.focal_gamma, smoothing=smoothing
    )


def _class_weights(config: LossConfig, splits: Splits) -> torch.Tensor | None:
    if config.class_weights is None:
        return None
    texts = Counter(splits.train.labels)
    counts = [texts[label] for label in splits.labels]
    if config.class_weights == "balanced":
        return balanced_weights(counts, config.balance)
    if unknown := sorted(set(config.class_weights) - set(splits.labels)):
        raise ExperimentInvalid(
            f"loss.class_weights names {', '.join(map(repr, unknown))}; the labels are {', '.join(splits.labels)}"
        )
    given = [config.class_weights.get(label, 1.0) for label in splits.labels]
    return text_mean_one(torch.tensor(given), counts)


def groups_of(config: NetworkConfig) -> ParameterGroups:
    """Groups of parameters, with lower rates for lower layers where the configuration asks for it."""
    if config.layer_decay == 1:
        return partial(decayed_groups, weight_decay=config.weight_decay)
    return partial(
        parameter_groups,
        learning_rate=config.learning_rate,
        decay=config.layer_decay,
        weight_decay=config.weight_decay,
    )


def regularisers_of(config: NetworkConfig) -> tuple[Regulariser, ...]:
    """What takes part in the training, in the order in which the network is prepared."""
    found: list[Regulariser] = []
    if config.freeze.embeddings or config.freeze.layers:
        found.append(Freezing(config.freeze))
    if config.mixout is not None:
        found.append(Mixing(config.mixout))
    if config.awp is not None:
        found.append(Perturbing(config.awp))
    return tuple(found)


class Freezing(Regulariser):
    """Freezes the lowest part of a network for the time of a training."""

    def __init__(self, config: FreezeConfig) -> None:
        self._config = config
        self._learned: list[torch.nn.Parameter] = []

    def prepare(self, network: PreTrainedModel) -> None:
        """Freeze; the optimiser is made after this, without the frozen parameters."""
        self._learned = [parameter for parameter in network.parameters() if parameter.requires_grad]
        freeze(network, embeddings=self._config.embeddings, layers=self._config.layers)

    def restore(self, network: PreTrainedModel) -> None:  # noqa: ARG002
        """What could learn before can learn again."""
        for parameter in self._learned:
            parameter.requires_grad_(True)


class Mixing(Regulariser):
    """Mixout in the body of a network."""

    def __init__(self, config: MixoutConfig) -> None:
        self._config = config
        self._mixing = ExitStack()

    def prepare(self, network: PreTrainedModel) -> None:
        """Mix with the weights as they are now. A checkpoint that is loaded later leaves them the target."""
        body = f"{network.base_model_prefix}."
        self._mixing.enter_context(
            apply_mixout(
                network,
                self._config.p,
                concerns=lambda name: name.startswith(body),
                replaces_dropout=self._config.replaces_dropout,
            )
        )

    def restore(self, network: PreTrainedModel) -> None:  # noqa: ARG002
        """Plain layers again."""
        self._mixing.close()


class Perturbing(Regulariser):
    """Adversarial Weight Perturbation of each batch, from an epoch on."""

    def __init__(self, config: AwpConfig) -> None:
        self._config = config
        self._awp: AdversarialWeightPerturbation | None = None

    def prepare(self, network: PreTrainedModel) -> None:
        """Find the matrices, after whatever is frozen has been."""
        self._awp = AdversarialWeightPerturbation(
            network, epsilon=self._config.epsilon, share=self._config.share
        )

    def before_backward(self, batch: Batch) -> None:
        """Set aside what earlier batches of the step have left."""
        if self._awp is not None and self._begun(batch):
            self._awp.watch()

    def after_backward(self, batch: Batch) -> None:
        """The same batch again, at the perturbed weights."""
        if self._awp is not None and self._begun(batch):
            with self._awp.perturbed():
                batch.backward()

    def restore(self, network: PreTrainedModel) -> None:  # noqa: ARG002
        """Let go of the network."""
        self._awp = None

    def _begun(self, batch: Batch) -> bool:
        return batch.epoch >= self._config.start_epoch
