"""Mixout: dropout whose origin is not zero but the pretrained weights, so that fine-tuning does not run far from them.

Cheolhyoung Lee, Kyunghyun Cho, Wanmo Kang: *Mixout: Effective Regularization to Finetune Large-scale Pretrained
Language Models*, ICLR 2020, arXiv:1909.11299. Torch alone; usable with any module made of `torch.nn.Linear`.

Usage::

    with apply_mixout(model, p=0.7):       # each Linear becomes a MixLinear whose target are its weights now
        train(model)
    model.state_dict()                  # plain Linear layers again, under the names they always had
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional


def mixout(weight: Tensor, target: Tensor, p: float, *, training: bool = True) -> Tensor:
    """Each element of `weight` replaced by that of `target` with probability `p`, corrected to keep its expectation.

    The paper's (M∘u + (1−M)∘w − p·u) / (1−p), for the target u and the weight w, is u + dropout(w − u): what is dropped
    is the distance travelled. The expectation is w. With p of 0, or outside of training, it is w itself.

    Args:
        weight: what is trained; gradients flow to it.
        target: what it is mixed with, of the same shape; no gradient flows to it.
        p: probability of an element to be the target's, 0 to 1.
        training: whether to mix at all.

    Raises:
        ValueError: `p` is no probability, or the shapes differ.
    """
    _check(p)
    if weight.shape != target.shape:
        raise ValueError(f"weight {tuple(weight.shape)} and target {tuple(target.shape)} differ in shape")
    if p == 0 or not training:
        return weight
    origin = target.detach()
    return origin + functional.dropout(weight - origin, p, training=True)


class MixLinear(nn.Linear):
    """A linear layer whose weight is mixed with `target` in each forward pass of training; its bias is not mixed.

    It takes over the parameters of the layer it is made from, not copies of them, so an optimiser that knows them goes
    on working. `target` is no part of the state dict, which stays that of a plain linear layer.
    """

    target: Tensor

    def __init__(self, linear: nn.Linear, p: float) -> None:
        """Take over `linear`; its weights as they are now become the target.

        Raises:
            ValueError: `p` is no probability.
        """
        _check(p)
        # No separate storage: it would be discarded, and initialising it would consume random numbers.
        super().__init__(linear.in_features, linear.out_features, bias=linear.bias is not None, device="meta")
        self.weight, self.bias, self.p = linear.weight, linear.bias, p
        self.register_buffer("target", linear.weight.detach().clone(), persistent=False)
        self.train(linear.training)

    def forward(self, input: Tensor) -> Tensor:
        """(…, in) → (…, out)."""
        return functional.linear(
            input, mixout(self.weight, self.target, self.p, training=self.training), self.bias
        )

    def plain(self) -> nn.Linear:
        """The same layer without mixing, with the same parameters."""
        linear = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        linear.weight, linear.bias = self.weight, self.bias
        return linear.train(self.training)

    def extra_repr(self) -> str:
        """As torch shows it."""
        return f"{super().extra_repr()}, p={self.p}"


@contextmanager
def apply_mixout(
    model: nn.Module,
    p: float,
    *,
    concerns: Callable[[str], bool] = lambda _name: True,
    replaces_dropout: bool = True,
) -> Iterator[list[str]]:
    """Within, the linear layers of `model` mix out; after, also after an error, they are plain again.

    Args:
        model: changed in place.
        p: probability of mixing, see `mixout`. The paper fine-tunes with 0.7 to 0.9.
        concerns: whether the module of this name is changed. Leave out a new head: it has no pretrained weights.
        replaces_dropout: whether dropout in the modules concerned is off meanwhile, as in the paper.

    Yields:
        Names of the layers that mix out.

    Raises:
        ValueError: `p` is no probability, or there is no such linear layer.
    """
    _check(p)
    chosen = [name for name, module in model.named_modules() if type(module) is nn.Linear and concerns(name)]
    if not chosen:
        raise ValueError("mixout finds no linear layer to mix")
    dropouts = [
        (module, module.p)
        for name, module in model.named_modules()
        if replaces_dropout and isinstance(module, nn.Dropout) and concerns(name)
    ]
    try:
        for name in chosen:
            _swap(model, name, lambda layer: MixLinear(layer, p))
        for module, _ in dropouts:
            module.p = 0.0
        yield chosen
    finally:
        for name in chosen:
            _swap(model, name, lambda layer: layer.plain() if isinstance(layer, MixLinear) else layer)
        for module, kept in dropouts:
            module.p = kept


def distance_to_target(model: nn.Module) -> float:
    """L2 distance of the mixed layers of `model` from their targets."""
    layers = [module for module in model.modules() if isinstance(module, MixLinear)]
    with torch.no_grad():
        squares = [float((layer.weight - layer.target).square().sum()) for layer in layers]
    return float(sum(squares) ** 0.5)


def _swap(model: nn.Module, name: str, change: Callable[[nn.Linear], nn.Linear]) -> None:
    parent, _, own = name.rpartition(".")
    holder = model.get_submodule(parent)
    layer = getattr(holder, own)
    assert isinstance(layer, nn.Linear)
    setattr(holder, own, change(layer))


def _check(p: float) -> None:
    if not 0 <= p <= 1:
        raise ValueError(f"p is a probability from 0 to 1, not {p}")
