"""Build the regularisers and the loss of a training run from its configuration."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from functools import partial

import torch
from transformers import PreTrainedModel

from training.data import Splits
from training.errors import ExperimentInvalid
from training.finetuning.config import AwpConfig, FreezeConfig, LossConfig, MixoutConfig
from training.finetuning.strategies import (
    Batch,
    Loss,
    ParameterGroups,
    Regulariser,
    Strategies,
    decayed_groups,
)
from training.models.config import NetworkConfig
from training.regularizers.awp import AdversarialWeightPerturbation
from training.regularizers.depth import freeze, parameter_groups
from training.regularizers.losses import ClassificationLoss, balanced_weights, text_mean_one
from training.regularizers.mixout import apply_mixout


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
