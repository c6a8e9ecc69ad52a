"""What a student minimises: each loss on its own, and all of them on a real teacher and student."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch.nn import functional

from tests.training.distillation.conftest import small_network
from training.config.distillation import DistilledConfig
from training.distillation.objective import (
    LiveTeacher,
    Objective,
    RememberedTeacher,
    attention_loss,
    hidden_loss,
    prediction_loss,
)
from training.models.weights import keep_layers

MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
BATCH = {
    "input_ids": torch.tensor([[101, 7, 8, 102], [101, 102, 0, 0]]),
    "attention_mask": MASK,
    "labels": torch.tensor([1, 3]),
}


def test_prediction_loss_mixes_true_labels_and_the_teachers() -> None:
    student, teacher, truth = torch.randn(6, 3), torch.randn(6, 3), torch.tensor([0, 1, 2, 0, 1, 2])
    hard = functional.cross_entropy(student, truth)
    assert torch.isclose(prediction_loss(student, teacher, truth, true_labels=1.0, temperature=4.0), hard)
    assert prediction_loss(teacher, teacher, truth, true_labels=0.0, temperature=4.0).abs() < 1e-6
    soft, both = (
        prediction_loss(student, teacher, truth, true_labels=share, temperature=2.0) for share in (0.0, 0.25)
    )
    assert torch.isclose(both, 0.25 * hard + 0.75 * soft)


def test_softness_keeps_the_size_of_gradients() -> None:
    teacher, truth = torch.tensor([[0.1, -0.1, 0.0]]), torch.tensor([0])
    sizes = []
    for temperature in (1.0, 8.0):
        student = torch.zeros(1, 3, requires_grad=True)
        prediction_loss(student, teacher, truth, true_labels=0.0, temperature=temperature).backward()
        assert student.grad is not None
        sizes.append(float(student.grad.norm()))
    assert sizes[0] == pytest.approx(sizes[1], rel=0.1)


def test_padding_is_not_compared() -> None:
    mine, theirs = torch.zeros(2, 4, 5), torch.zeros(2, 4, 5)
    theirs[1, 2:] = 9.0
    assert hidden_loss([mine], [theirs], MASK) == 0
    theirs[0, 0] = 1.0
    assert hidden_loss([mine], [theirs], MASK) == pytest.approx(1 / 6)
    even = torch.full((2, 2, 4, 4), 0.25)
    odd = even.clone()
    odd[1, :, 3] = torch.tensor([1.0, 0.0, 0.0, 0.0])  # what a padding token looks at
    assert attention_loss([even], [odd], MASK).abs() < 1e-6
    odd[0, :, 0] = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert attention_loss([even], [odd], MASK) > 0


@pytest.mark.parametrize(
    ("kept", "states"),
    [((0, 2), (0, 2, 4)), ((0, 1), (0, 1, 4)), ((0, 3), (0, 3, 4)), ((1, 2, 3), (0, 2, 3, 4))],
)
def test_layers_are_matched_to_inputs_of_the_next_kept_layer(
    kept: tuple[int, ...], states: tuple[int, ...]
) -> None:
    network = small_network().eval()
    read = {name: tensor for name, tensor in BATCH.items() if name != "labels"}
    with torch.no_grad():
        every = network(**read, output_hidden_states=True).hidden_states
    told = LiveTeacher(network, kept, attentions=False)(BATCH)
    assert len(told.hidden_states) == len(kept) + 1
    for found, state in zip(told.hidden_states, states, strict=True):
        assert torch.allclose(found, every[state], atol=1e-6)
    assert told.attentions == ()


def test_a_student_is_taught_in_every_respect() -> None:
    network = small_network().eval()
    student = deepcopy(network)
    keep_layers(student, (0, 2))
    student.set_attn_implementation("eager")
    config = DistilledConfig(layers=(0, 2), attention_weight=1.0, true_labels=0.5)
    objective = Objective(config, LiveTeacher(network, (0, 2), attentions=True))
    loss, outputs = objective(student, BATCH)
    loss.backward()
    assert outputs.logits.shape == (2, 5)
    assert all(parameter.grad is not None for parameter in student.bert.encoder.parameters())
    assert all(parameter.grad is None for parameter in network.parameters())
    plain = DistilledConfig(hidden_weight=0.0, true_labels=0.5)
    without, _ = Objective(plain, LiveTeacher(network, (0, 2), attentions=False))(student, BATCH)
    assert loss > without


def test_the_teacher_itself_has_nothing_to_learn() -> None:
    network = small_network().eval()
    config = DistilledConfig(true_labels=0.0, attention_weight=1.0)
    loss, _ = Objective(config, LiveTeacher(network, (0, 1, 2, 3), attentions=True))(network, BATCH)
    assert loss.abs() < 1e-5


def test_remembered_answers_are_found_by_what_is_read() -> None:
    teacher = RememberedTeacher([[101, 102], [101, 7, 8, 102]], [[1.0, 2.0], [3.0, 4.0]])
    assert teacher(BATCH).logits.tolist() == [[3.0, 4.0], [1.0, 2.0]]
