"""Adversarial Weight Perturbation: learn at the worst weights in the neighbourhood, so that flat minima are found.

Dongxian Wu, Shu-Tao Xia, Yisen Wang: *Adversarial Weight Perturbation Helps Robust Generalization*, NeurIPS 2020,
arXiv:2004.05884. There it joins adversarial inputs; in fine-tuning on text, whose inputs are discrete, the weights
alone are perturbed. Torch alone; usable with any module and any optimiser.

Usage::

    awp = AdversarialWeightPerturbation(model, epsilon=0.005)
    for inputs, labels in batches:
        awp.watch()                                    # only with accumulation: .grad holds older gradients
        criterion(model(inputs), labels).backward()
        with awp.perturbed():                          # the weights move uphill …
            criterion(model(inputs), labels).backward()
        optimizer.step()                               # … and are back, bit for bit, with gradients of both points
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
    their values; gradients keep their size, so clipping means what it did.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        epsilon: float = 0.005,
        share: float = 0.5,
        concerns: Callable[[str], bool] = lambda _name: True,
    ) -> None:
        """Prepare; nothing moves yet.

        Args:
            model: the module that is trained.
            epsilon: length of a matrix's perturbation, as a share of the matrix's own norm (the paper's γ). The paper
                projects onto that bound; one step along the normalised gradient ends exactly on it.
            share: weight of the gradient at the perturbed point; the gradient at the point itself has the rest. The
                paper's update is 1.
            concerns: whether the parameter of this name may be perturbed.

        Raises:
            ValueError: `epsilon` is not above 0, or `share` not in (0, 1].
        """
        if not epsilon > 0 or not 0 < share <= 1:
            raise ValueError(f"epsilon must be above 0 and share in (0, 1], not {epsilon} and {share}")
        self.epsilon, self.share = epsilon, share
        self._learning = {
            name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
        }
        self._matrices = {
            name: parameter
            for name, parameter in self._learning.items()
            if parameter.dim() > 1 and concerns(name)
        }
        self._older: dict[str, Tensor] = {}

    @property
    def names(self) -> list[str]:
        """Names of the parameters that are perturbed."""
        return list(self._matrices)

    def watch(self) -> None:
        """Set aside the gradients that stand now: those of earlier micro-batches are no part of the direction.

        They are back, with what came since, when `perturbed` is left.
        """
        self._older = _taken(self._learning)

    @contextmanager
    def perturbed(self) -> Iterator[list[str]]:
        """Within, the weights stand uphill along the gradients since `watch`; after, also after an error, as before.

        Yields:
            Names of the matrices that have moved. One without a gradient, or with one that is zero or not finite,
            stays where it is.
        """
        kept: dict[str, Tensor] = {}
        clean = _taken(self._learning)
        complete = False
        try:
            with no_grad():
                for name, weight in self._matrices.items():
                    step = self._uphill(weight, clean.get(name))
                    if step is not None:
                        kept[name] = weight.detach().clone()
                        weight.add_(step)
            yield list(kept)
            complete = True
        finally:
            with no_grad():
                for name, values in kept.items():
                    self._matrices[name].copy_(values)
                self._put_gradients_back(clean, self.share if complete else 0.0)

    def _uphill(self, weight: Tensor, gradient: Tensor | None) -> Tensor | None:
        """From `weight` along `gradient`, as far as epsilon of the weight's own norm."""
        if gradient is None:
            return None
        norm = gradient.norm()
        if not (norm.isfinite() and norm > _TINY):
            return None
        step: Tensor = gradient * (self.epsilon * weight.norm() / norm)
        return step

    def _put_gradients_back(self, clean: dict[str, Tensor], share: float) -> None:
        """`.grad` becomes what stood there before `watch`, plus the mean of both points."""
        uphill, older = _taken(self._learning), self._older
        self._older = {}
        for name, parameter in self._learning.items():
            parts = ((clean, 1 - share), (uphill, share), (older, 1.0))
            found = [source[name] * weight for source, weight in parts if name in source and weight]
            parameter.grad = sum(found[1:], found[0]) if found else None


def _taken(parameters: dict[str, nn.Parameter]) -> dict[str, Tensor]:
    """The gradients that stand now; none stand afterwards."""
    found = {name: item.grad.detach() for name, item in parameters.items() if item.grad is not None}
    for item in parameters.values():
        item.grad = None
    return found
