"""Mixout: the formula of its paper, its expectation, its edges, and that it leaves no trace in a state dict."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests import golden_messages as messages
from training.regularizers.mixout import MixLinear, apply_mixout, distance_to_target, mixout


@pytest.fixture
def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(7, 5, generator=generator), torch.randn(7, 5, generator=generator)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.3), nn.Linear(8, 4, bias=False))
    return nn.ModuleDict({"body": body, "head": nn.Sequential(nn.Dropout(0.2), nn.Linear(4, 2))})


def test_every_element_is_one_of_the_two_that_the_paper_allows(pair: tuple[Tensor, Tensor]) -> None:
    weight, target = pair
    p = 0.4
    mixed = mixout(weight, target, p)
    from_target, from_weight = target, (weight - p * target) / (1 - p)
    dropped = torch.isclose(mixed, from_target, atol=1e-6)
    assert torch.all(dropped | torch.isclose(mixed, from_weight, atol=1e-6))
    assert 0 < int(dropped.sum()) < weight.numel()


def test_its_expectation_is_the_weight(pair: tuple[Tensor, Tensor]) -> None:
    weight, target = pair
    torch.manual_seed(0)
    draws = torch.stack([mixout(weight, target, 0.7) for _ in range(4000)])
    error = draws.std(dim=0) / len(draws) ** 0.5
    assert float(((draws.mean(dim=0) - weight).abs() / error).max()) < 4.5
    share = float(torch.isclose(draws, target, atol=1e-6).float().mean())
    assert share == pytest.approx(0.7, abs=0.01)


def test_p_of_0_is_the_identity_and_p_of_1_the_target(pair: tuple[Tensor, Tensor]) -> None:
    weight, target = pair
    assert mixout(weight, target, 0.0) is weight
    assert mixout(weight, target, 0.9, training=False) is weight
    assert torch.equal(mixout(weight, target, 1.0), target)


def test_gradients_reach_kept_weights_and_never_the_target(
    pair: tuple[Tensor, Tensor],
) -> None:
    weight, target = (tensor.clone().requires_grad_() for tensor in pair)
    mixed = mixout(weight, target, 0.5)
    mixed.sum().backward()
    kept = ~torch.isclose(mixed, target, atol=1e-7)
    assert torch.equal(weight.grad, kept.float() / 0.5)
    assert target.grad is None


def test_bad_values_are_refused(pair: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(ValueError, match=messages.MIXOUT_BOUNDS):
        mixout(*pair, 1.5)
    with pytest.raises(ValueError, match=messages.MIXOUT_SHAPES):
        mixout(pair[0], pair[1][:3], 0.5)
    with pytest.raises(ValueError, match=messages.MIXOUT_NO_LAYER), apply_mixout(nn.ReLU(), 0.5):
        raise AssertionError("it must not begin")


def test_a_mixed_layer_mixes_with_its_original_parameters() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(6, 4)
    pretrained, state = linear.weight.detach().clone(), torch.get_rng_state()
    mixed = MixLinear(linear, p=0.8)
    assert torch.equal(torch.get_rng_state(), state)  # making one draws nothing
    assert mixed.weight is linear.weight
    assert mixed.bias is linear.bias
    with torch.no_grad():
        linear.weight.add_(1.0)
    assert torch.equal(mixed.target, pretrained)
    assert distance_to_target(mixed) == pytest.approx(24**0.5, rel=1e-5)
    inputs = torch.randn(3, 6)
    assert not torch.equal(mixed(inputs), linear(inputs))
    mixed.train(False)
    assert torch.equal(mixed(inputs), linear(inputs))
    assert "p=0.8" in repr(mixed)


def test_the_state_dict_is_that_of_plain_layers(model: nn.Module) -> None:
    keys = list(model.state_dict())
    plain = nn.ModuleDict(
        {
            "body": nn.Sequential(nn.Linear(6, 8), nn.Dropout(), nn.Linear(8, 4, bias=False)),
            "head": nn.Sequential(nn.Dropout(), nn.Linear(4, 2)),
        }
    )
    with apply_mixout(model, 0.5):
        assert list(model.state_dict()) == keys
        plain.load_state_dict(model.state_dict(), strict=True)
        # And the other way, as a checkpoint is resumed: the target stays what it was.
        target = model.get_submodule("body.0").target.clone()
        model.load_state_dict({name: value + 1 for name, value in plain.state_dict().items()})
        assert torch.equal(model.get_submodule("body.0").target, target)
        assert not torch.equal(model.get_submodule("body.0").weight, target)


def test_layers_are_plain_again_afterwards_whatever_happened(model: nn.Module) -> None:
    parameters = [id(parameter) for parameter in model.parameters()]
    body_only = lambda name: name.startswith("body")  # noqa: E731

    def killed_while_mixing() -> None:
        with apply_mixout(model, 0.9, concerns=body_only) as names:
            assert names == ["body.0", "body.2"]
            assert isinstance(model.get_submodule("body.2"), MixLinear)
            assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == [0.0, 0.2]
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        killed_while_mixing()
    assert not any(isinstance(module, MixLinear) for module in model.modules())
    assert [module.p for module in model.modules() if isinstance(module, nn.Dropout)] == [0.3, 0.2]
    assert [id(parameter) for parameter in model.parameters()] == parameters


def test_it_pulls_training_towards_the_pretrained_weights() -> None:
    """What the paper proves of a quadratic loss: the stronger the mixing, the nearer the target the weights stay."""

    def gone(p: float) -> float:
        torch.manual_seed(0)
        linear = nn.Linear(10, 1, bias=False)
        inputs, truth = torch.randn(64, 10), torch.randn(64, 1) + 3
        model = nn.Sequential(linear)
        with apply_mixout(model, p):
            optimizer = torch.optim.SGD(model.parameters(), lr=0.02)
            for _ in range(400):
                optimizer.zero_grad()
                nn.functional.mse_loss(model(inputs), truth).backward()
                optimizer.step()
            return distance_to_target(model)

    assert gone(0.7) < gone(0.3) < gone(0.0)
