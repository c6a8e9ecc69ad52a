"""How deep a parameter lies, and what follows from it: lower learning rates for lower layers, or none at all.

Lower layers hold what is general, and change less. Jeremy Howard, Sebastian Ruder: *Universal Language Model
Fine-tuning for Text Classification* (ULMFiT), ACL 2018, arXiv:1801.06146; as a factor a layer: Kevin Clark et al.:
*ELECTRA*, ICLR 2020, arXiv:2003.10555.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Depths:
    """Where each parameter of a network lies."""

    of: dict[str, int]
    """Parameter → 0 for embeddings, 1 … `layers` for the stack's layers, `layers` + 1 for all that comes after."""
    layers: int
    """Layers in the stack."""


def depths(model: nn.Module) -> Depths:
    """The depth of every parameter of `model`, a stack of like layers with something before and after it.

    What is registered before the stack counts as embeddings, what is registered after it as head.

    Raises:
        ValueError: there is no stack of layers.
    """
    stacks = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) and len({type(layer) for layer in module}) == 1
    }
    # The largest one, in case a layer contains a list.
    stack = max(
        stacks,
        key=lambda name: sum(parameter.numel() for parameter in stacks[name].parameters()),
        default=None,
    )
    if stack is None:
        raise ValueError("the layers of the network cannot be found: it holds no list of like modules")
    found: dict[str, int] = {}
    total, passed = len(stacks[stack]), False
    for name, _ in model.named_parameters():
        if name.startswith(f"{stack}."):
            found[name] = 1 + int(name.removeprefix(f"{stack}.").split(".")[0])
            passed = True
        else:
            found[name] = total + 1 if passed else 0
    return Depths(found, total)


def parameter_groups(
    model: nn.Module, *, learning_rate: float, decay: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Groups for an optimiser: the head learns at `learning_rate`, each depth below it at `decay` times the one above.

    Biases and normalisation, vectors all, get no weight decay. Frozen parameters are in no group. With a `decay` of 1
    there are at most the two groups that differ in weight decay. The head's groups come first.

    Raises:
        ValueError: `decay` is not in (0, 1], or the network has no stack of layers.
    """
    if not 0 < decay <= 1:
        raise ValueError(f"layer decay must be above 0 and at most 1, not {decay}")
    found = depths(model)
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = learning_rate * decay ** (found.layers + 1 - found.of[name])
        shrunk = weight_decay if parameter.dim() > 1 else 0.0
        group = groups.setdefault((rate, shrunk), {"params": [], "lr": rate, "weight_decay": shrunk})
        group["params"].append(parameter)
    return sorted(groups.values(), key=lambda group: -group["lr"])


def freeze(model: nn.Module, *, embeddings: bool, layers: int) -> int:
    """Let the embeddings, and the lowest `layers` layers, learn nothing; returns how many numbers are frozen.

    Raises:
        ValueError: the network has fewer layers than that.
    """
    found = depths(model)
    if layers > found.layers:
        raise ValueError(f"{layers} layers are to be frozen, and the network has {found.layers}")
    frozen = 0
    for name, parameter in model.named_parameters():
        depth = found.of[name]
        if (depth == 0 and embeddings) or 0 < depth <= layers:
            parameter.requires_grad_(False)
            frozen += parameter.numel()
    return frozen
