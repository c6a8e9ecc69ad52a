"""Class weights, focal loss and label smoothing, against torch's own where torch has one."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tests import golden_messages as messages
from training.regularizers.losses import ClassificationLoss, balanced_weights, text_mean_one


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(40, 4, generator=generator), torch.randint(0, 4, (40,), generator=generator)


def test_without_options_it_is_cross_entropy(batch: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(
        ClassificationLoss()(*batch), functional.cross_entropy(*batch, reduction="none")
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_weights_and_smoothing_are_those_of_torch(batch: tuple[Tensor, Tensor], smoothing: float) -> None:
    logits, labels = batch
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0])
    torch.testing.assert_close(
        ClassificationLoss(smoothing=smoothing)(*batch),
        functional.cross_entropy(*batch, label_smoothing=smoothing, reduction="none"),
    )
    expected = functional.cross_entropy(logits, labels, weight=weights, reduction="none")
    torch.testing.assert_close(ClassificationLoss(weights=weights)(*batch), expected)


def test_focal_loss_is_the_papers(batch: tuple[Tensor, Tensor]) -> None:
    logits, labels = batch
    own = logits.softmax(-1)[torch.arange(40), labels]
    for gamma in (0.5, 2.0):
        expected = -((1 - own) ** gamma) * own.log()
        torch.testing.assert_close(ClassificationLoss(gamma=gamma)(*batch), expected)
    easy, hard = torch.tensor([[4.0, 0, 0, 0]]), torch.tensor([[0.0, 1, 0, 0]])
    zero = torch.tensor([0])

    def emphasis(gamma: float) -> float:
        loss = ClassificationLoss(gamma=gamma)
        return float(loss(hard, zero) / loss(easy, zero))

    assert emphasis(2.0) > 50 * emphasis(0.0)


def test_a_text_that_is_certain_gives_no_nan() -> None:
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    loss = ClassificationLoss(gamma=0.5, smoothing=0.1)(logits, torch.tensor([0, 0]))
    loss.sum().backward()
    assert loss.isfinite().all()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_balanced_weights_make_classes_weigh_the_same() -> None:
    counts = [80, 15, 5]
    whole = balanced_weights(counts)
    shares = whole * torch.tensor(counts)
    torch.testing.assert_close(shares, torch.full((3,), 100 / 3))
    assert float(shares.sum()) == pytest.approx(100)  # mean 1 over the texts
    half = balanced_weights(counts, power=0.5)
    assert 1 < float(half[2] / half[0]) < float(whole[2] / whole[0])
    torch.testing.assert_close(balanced_weights(counts, power=0.0), torch.ones(3))
    torch.testing.assert_close(text_mean_one(torch.tensor([2.0, 2.0, 2.0]), counts), torch.ones(3))


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match=messages.CLASS_WITHOUT_TEXT):
        balanced_weights([3, 0])
    for options in ({"gamma": -1.0}, {"smoothing": 1.0}):
        with pytest.raises(ValueError, match=messages.GAMMA_BOUNDS):
            ClassificationLoss(**options)
    with pytest.raises(ValueError, match=messages.CLASS_WEIGHT_BOUNDS):
        ClassificationLoss(weights=torch.tensor([1.0, 0.0]))
