"""What a training can be given beside its data: a loss, groups of parameters, and regularisers.

Each is small and knows nothing of the others, of the schedule, of accumulation or of checkpoints::

    class Shrink(Regulariser):
        def after_backward(self, batch: Batch) -> None:
            for parameter in batch.network.parameters():
                if parameter.grad is not None:
                    parameter.grad.add_(parameter.detach(), alpha=1e-4)

    finetune(network, tokenizer, config, splits, context, Strategies(regularisers=(Shrink(),)))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

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
