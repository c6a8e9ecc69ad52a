"""Adversarial Weight Perturbation: how far, which way, and back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from tests import golden_messages as messages
from training.regularizers.awp import AdversarialWeightPerturbation


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(9, 6), nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 3))


@pytest.fixture
def batches() -> Iterator[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)

    def drawn() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield (
                torch.randint(0, 9, (16,), generator=generator),
                torch.randint(0, 3, (16,), generator=generator),
            )

    return drawn()


def loss_of(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in model.named_parameters()}


def test_only_matrices_move_uphill_by_epsilon_of_their_norm(
    model: nn.Module, batches: Iterator[tuple[Tensor, Tensor]]
) -> None:
    batch, before = next(batches), weights(model)
    awp = AdversarialWeightPerturbation(model, epsilon=0.02)
    assert awp.names == ["0.weight", "1.weight", "4.weight"]  # no bias, no normalisation
    clean = loss_of(model, batch)
    clean.backward()
    gradients = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    with awp.perturbed() as moved:
        assert moved == awp.names
        uphill = loss_of(model, batch)
        for name, parameter in model.named_parameters():
            step = (parameter - before[name]).detach()
            if name not in moved:
                assert torch.equal(parameter, before[name])
                continue
            assert float(step.norm() / before[name].norm()) == pytest.approx(0.02, rel=1e-4)
            alignment = nn.functional.cosine_similarity(step.ravel(), gradients[name].ravel(), dim=0)
            assert float(alignment) == pytest.approx(1, abs=1e-4)
    assert uphill.item() > clean.item()


def test_weights_come_back_bit_for_bit_and_keep_their_identity(
    model: nn.Module, batches: Iterator[tuple[Tensor, Tensor]]
) -> None:
    before, places = weights(model), [id(parameter) for parameter in model.parameters()]
    awp = AdversarialWeightPerturbation(model, epsilon=0.5)
    for _ in range(3):
        batch = next(batches)
        loss_of(model, batch).backward()
        with awp.perturbed():
            loss_of(model, batch).backward()
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())
    assert [id(parameter) for parameter in model.parameters()] == places
    with pytest.raises(RuntimeError, match=messages.OUT_OF_MEMORY), awp.perturbed():
        raise RuntimeError("out of memory")
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_gradients_are_the_mean_of_both_points(
    model: nn.Module, batches: Iterator[tuple[Tensor, Tensor]], share: float
) -> None:
    batch = next(batches)
    awp = AdversarialWeightPerturbation(model, epsilon=0.1, share=share)
    loss_of(model, batch).backward()
    clean = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    with awp.perturbed():
        uphill = torch.autograd.grad(loss_of(model, batch), list(model.parameters()))
        loss_of(model, batch).backward()
    for (name, parameter), gradient in zip(model.named_parameters(), uphill, strict=True):
        assert not torch.allclose(gradient, clean[name])
        torch.testing.assert_close(parameter.grad, (1 - share) * clean[name] + share * gradient)


def test_accumulation_adds_what_each_micro_batch_gives_alone(
    model: nn.Module, batches: Iterator[tuple[Tensor, Tensor]]
) -> None:
    """Gradients of earlier micro-batches stand there already: they are no part of the direction, and are kept."""
    awp = AdversarialWeightPerturbation(model, epsilon=0.1)
    pair, alone, moved = [next(batches), next(batches)], [], []
    for batch in pair:
        loss_of(model, batch).backward()
        with awp.perturbed():
            moved.append(weights(model))
            loss_of(model, batch).backward()
        alone.append({name: parameter.grad for name, parameter in model.named_parameters()})
        model.zero_grad()
    for batch, there in zip(pair, moved, strict=True):
        awp.watch()
        loss_of(model, batch).backward()
        with awp.perturbed():
            assert all(torch.equal(parameter, there[name]) for name, parameter in model.named_parameters())
            loss_of(model, batch).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, alone[0][name] + alone[1][name])


def test_an_error_while_perturbed_loses_no_gradient(
    model: nn.Module, batches: Iterator[tuple[Tensor, Tensor]]
) -> None:
    awp = AdversarialWeightPerturbation(model, epsilon=0.1)
    loss_of(model, next(batches)).backward()
    clean = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    with pytest.raises(RuntimeError, match=messages.OUT_OF_MEMORY), awp.perturbed():
        raise RuntimeError("out of memory")
    assert all(torch.equal(parameter.grad, clean[name]) for name, parameter in model.named_parameters())


def test_what_has_no_direction_stays(model: nn.Module, batches: Iterator[tuple[Tensor, Tensor]]) -> None:
    before = weights(model)
    model.get_submodule("1").weight.requires_grad_(False)
    awp = AdversarialWeightPerturbation(model, concerns=lambda name: name != "0.weight")
    assert awp.names == ["4.weight"]
    with awp.perturbed() as moved:  # no backward pass yet
        assert moved == []
    loss_of(model, next(batches)).backward()
    model.get_submodule("4").weight.grad.fill_(float("nan"))
    with awp.perturbed() as moved:
        assert moved == []
        assert torch.equal(model.get_submodule("4").weight, before["4.weight"])


@pytest.mark.parametrize(
    "options", [{"epsilon": 0}, {"epsilon": float("nan")}, {"share": 0.0}, {"share": 1.1}]
)
def test_what_would_do_nothing_is_refused(model: nn.Module, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=messages.AWP_BOUNDS):
        AdversarialWeightPerturbation(model, **options)
