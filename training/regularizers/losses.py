"""Losses for skewed and for uncertain labels: class weights, focal loss, label smoothing, and any of them together.

Usage::

    loss = ClassificationLoss(weights=balanced_weights(counts), gamma=2.0, smoothing=0.1)
    loss(logits, labels).mean().backward()
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

_TINY = 1e-12


def balanced_weights(counts: Sequence[int], power: float = 1.0) -> Tensor:
    """A weight for each class, inverse to its frequency; (classes,), their mean over the texts is 1.

    Args:
        counts: training texts of each class.
        power: 1: every class weighs the same in all; 0: every text does; 0.5 lies between.

    Raises:
        ValueError: a class has no text.
    """
    if min(counts) < 1:
        raise ValueError(f"class {list(counts).index(min(counts))} has no text to weigh")
    return text_mean_one(torch.tensor(counts, dtype=torch.float64).pow(-power), counts)


def text_mean_one(weights: Tensor, counts: Sequence[int]) -> Tensor:
    """`weights` (classes,) scaled so that their mean over texts, `counts` of each class, is 1; float32.

    So a weighted loss has the size of a plain one, and learning rate and clipping mean the same with both.
    """
    texts = torch.tensor(counts, dtype=torch.float64)
    return (weights.double() * texts.sum() / (weights.double() * texts).sum()).float()


class ClassificationLoss(nn.Module):
    """Cross-entropy, weighted by class, focused on hard texts, with smoothed labels; each part is off by default.

    Focal loss: Tsung-Yi Lin, Priya Goyal, Ross Girshick, Kaiming He, Piotr Dollár: *Focal Loss for Dense Object
    Detection*, ICCV 2017, arXiv:1708.02002. Label smoothing: Christian Szegedy et al.: *Rethinking the Inception
    Architecture for Computer Vision*, CVPR 2016, arXiv:1512.00567.
    """

    weights: Tensor | None

    def __init__(self, *, weights: Tensor | None = None, gamma: float = 0.0, smoothing: float = 0.0) -> None:
        """Choose the parts.

        Args:
            weights: (classes,) a factor for the texts of each class.
            gamma: focus: a text's loss counts (1 − p)^gamma, p being the probability of its true label.
            smoothing: probability taken from the true label and spread over all classes evenly.

        Raises:
            ValueError: gamma is negative, smoothing outside [0, 1), or a weight not above 0.
        """
        super().__init__()
        if gamma < 0 or not 0 <= smoothing < 1:
            raise ValueError(f"gamma must be 0 or more and smoothing in [0, 1), not {gamma} and {smoothing}")
        if weights is not None and not bool((weights > 0).all()):
            raise ValueError(f"class weights must be above 0, not {weights.tolist()}")
        self.gamma, self.smoothing = gamma, smoothing
        self.register_buffer("weights", weights, persistent=False)

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Loss of each text, (n,), from `logits` (n, classes) and `labels` (n,), the positions of the true classes.

        Take their plain mean, over the texts of a whole step where gradients are accumulated. Not by the sum of the
        weights, as torch does: it differs between micro-batches, and a step would depend on how it is cut.
        """
        logits = logits.float()
        loss = functional.cross_entropy(logits, labels, reduction="none", label_smoothing=self.smoothing)
        if self.gamma:
            own = -functional.cross_entropy(logits, labels, reduction="none")
            # -expm1(log p) is 1 - p, exact where p is near 1. At 0 the slope of a root is infinite, so it stays above.
            loss = loss * (-torch.expm1(own)).clamp_min(_TINY).pow(self.gamma)
        if self.weights is not None:
            loss = loss * self.weights.to(loss.device)[labels]
        return loss
