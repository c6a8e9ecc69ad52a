"""Adversarial Weight Perturbation: learn at the worst weights in the neighbourhood, so that flat minima are found.

Dongxian Wu, Shu-Tao Xia, Yisen Wang: *Adversarial Weight Perturbation Helps Robust Generalization*, NeurIPS 2020,
arXiv:2004.05884. There it joins adversarial inputs; in fine-tuning on text, whose inputs are discrete, the weights
alone are perturbed. Torch alone; usable with any module and any optimiser.

Usage::

    awp = AdversarialWeightPerturbation(model, epsilon=0.005)
    for inputs, labels in batches:
        awp.watch()                                    # whose gradients are to count
        criterion(model(inputs), labels).backward()
        with awp.perturbed():                          # the weights move uphill …
            criterion(model(inputs), labels).backward()
        optimizer.step()                               # … and are back, bit for bit, with both gradients in them
        optimizer.zero_grad()
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn, no_grad

_TINY = 1e-12


class AdversarialWeightPerturbation:
    """Moves a module's weight matrices along their gradients, in proportion to their own norms, and back.

    Matrices only: biases and normalisation, vectors all, are left alone, as in the authors' code. Nothing that an
    optimiser, a scheduler or a checkpoint sees is changed: parameters keep their identity, and outside of `perturbed`
    their values.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        epsilon: float = 0.005,
        concerns: Callable[[str], bool] = lambda _name: True,
    ) -> None:
        """Prepare; nothing moves yet.

        Args:
            model: the module that is trained.
            epsilon: length of a matrix's perturbation, as a share of the matrix's own norm (the paper's γ). The paper
                projects onto that bound; one step along the normalised gradient ends exactly on it.
            concerns: whether the parameter of this name may be perturbed.

        Raises:
            ValueError: `epsilon` is not above 0.
        """
        if not epsilon > 0:
            raise ValueError(f"epsilon must be above 0, not {epsilon}")
        self.epsilon = epsilon
        self._weights = {
            name: parameter
            for name, parameter in model.named_parameters()
            if parameter.dim() > 1 and parameter.requires_grad and concerns(name)
        }
        self._before: dict[str, Tensor] = {}

    @property
    def names(self) -> list[str]:
        """Names of the parameters that are perturbed."""
        return list(self._weights)

    def watch(self) -> None:
        """Remember the gradients that stand now: those of earlier micro-batches are no part of the direction."""
        self._before = {
            name: weight.grad.clone() for name, weight in self._weights.items() if weight.grad is not None
        }

    @contextmanager
    def perturbed(self) -> Iterator[list[str]]:
        """Within, the weights stand uphill along the gradients since `watch`; after, also after an error, as before.

        Yields:
            Names of the matrices that have moved. One without a gradient, or with one that is zero or not finite,
            stays where it is.
        """
        kept: dict[str, Tensor] = {}
        try:
            with no_grad():
                for name, weight in self._weights.items():
                    step = self._step(name, weight)
                    if step is not None:
                        kept[name] = weight.detach().clone()
                        weight.add_(step)
            yield list(kept)
        finally:
            with no_grad():
                for name, values in kept.items():
                    self._weights[name].copy_(values)
            self._before = {}

    def _step(self, name: str, weight: Tensor) -> Tensor | None:
        """From `weight` straight uphill, as far as epsilon of its own norm."""
        if weight.grad is None:
            return None
        gradient = weight.grad.detach()
        if name in self._before:
            gradient = gradient - self._before[name]
        norm = gradient.norm()
        if not (norm.isfinite() and norm > _TINY):
            return None
        step: Tensor = gradient * (self.epsilon * weight.detach().norm() / norm)
        return step
