"""The distillation loss: distance to the true labels and to the teacher's outputs, hidden states and attention."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import PreTrainedModel

from training.config.distillation import DistilledConfig

Batch = Mapping[str, Tensor]
"""`input_ids` and `attention_mask`, (texts, tokens), `labels`, (texts), and what else the network reads."""


@dataclass(frozen=True)
class TeacherOutput:
    """Outputs of a teacher for one batch."""

    logits: Tensor
    """(texts, labels)."""
    hidden_states: Sequence[Tensor] = ()
    """Where the student's embeddings and each of its layers should come out, (texts, tokens, width) each."""
    attentions: Sequence[Tensor] = ()
    """Where each layer of the student should look, (texts, heads, tokens, tokens) each."""


class LiveTeacher:
    """A teacher network that runs on each batch, for its hidden states as well as its probabilities."""

    def __init__(self, network: PreTrainedModel, kept: Sequence[int], *, attentions: bool) -> None:
        """`kept`: the teacher's layers that the student was made of, from 0, rising."""
        self.network, self.kept, self.attentions = network, tuple(kept), attentions
        total: int = network.config.num_hidden_layers
        # A layer that was kept is to hand on what the next one that was kept is used to get: all that the layers
        # between them did. For every other layer, that is TinyBERT's uniform assignment. State 0: the embeddings.
        self._states = (0, *self.kept[1:], total)
        if attentions:
            network.set_attn_implementation("eager")

    @torch.no_grad()
    def __call__(self, batch: Batch) -> TeacherOutput:
        """Its answer, and its states where the student's layers are to come out."""
        self.network.to(batch["input_ids"].device)  # type: ignore[arg-type, unused-ignore]
        read = {name: tensor for name, tensor in batch.items() if name != "labels"}
        said = self.network(**read, output_hidden_states=True, output_attentions=self.attentions)
        return TeacherOutput(
            said.logits,
            [said.hidden_states[state] for state in self._states],
            # The layer whose output the student's layer gives is the one that looked last.
            [said.attentions[state - 1] for state in self._states[1:]] if self.attentions else (),
        )


class RememberedTeacher:
    """A teacher's answers, asked for once and found again by what the student reads of a text."""

    def __init__(self, encoded: Sequence[Sequence[int]], logits: Sequence[Sequence[float]]) -> None:
        """`encoded`: the token ids of each text as the student reads it; `logits`: the teacher's, (texts, labels)."""
        self._told = {
            tuple(ids): torch.tensor(row, dtype=torch.float32)
            for ids, row in zip(encoded, logits, strict=True)
        }

    def __call__(self, batch: Batch) -> TeacherOutput:
        """Its answer."""
        rows = [
            self._told[tuple(ids[mask.bool()].tolist())]
            for ids, mask in zip(batch["input_ids"].cpu(), batch["attention_mask"].cpu(), strict=True)
        ]
        return TeacherOutput(torch.stack(rows).to(batch["input_ids"].device))


class Objective:
    """The student's loss on one batch.

    The prediction loss is the mean of cross-entropy with the true labels and of the divergence from the teacher's soft
    labels, times temperature² so that its gradients keep their size (Hinton et al. 2015, arXiv:1503.02531). Hidden
    states are compared by mean squared difference over all real tokens (Jiao et al. 2019, arXiv:1909.10351), attention
    by its Kullback-Leibler divergence (Wang et al. 2020, arXiv:2002.10957).
    """

    def __init__(self, config: DistilledConfig, teacher: Callable[[Batch], TeacherOutput]) -> None:
        self.config, self.teacher = config, teacher

    def __call__(self, student: PreTrainedModel, batch: Batch) -> tuple[Tensor, Any]:
        """The loss, a scalar, and the student's output."""
        output = self.teacher(batch)
        read = {name: tensor for name, tensor in batch.items() if name != "labels"}
        said = student(
            **read, output_hidden_states=bool(output.hidden_states), output_attentions=bool(output.attentions)
        )
        loss = prediction_loss(
            said.logits, output.logits, batch["labels"],
            true_labels=self.config.true_labels, temperature=self.config.temperature,
        )  # fmt: skip
        mask = batch["attention_mask"]
        if output.hidden_states:
            loss = loss + self.config.hidden_weight * hidden_loss(
                said.hidden_states, output.hidden_states, mask
            )
        if output.attentions:
            loss = loss + self.config.attention_weight * attention_loss(
                said.attentions, output.attentions, mask
            )
        return loss, said


def prediction_loss(
    student: Tensor, teacher: Tensor, truth: Tensor, *, true_labels: float, temperature: float
) -> Tensor:
    """Of logits (texts, labels) against the teacher's and the n positions `truth`, in the share `true_labels`."""
    soft = functional.kl_div(
        functional.log_softmax(student / temperature, dim=-1),
        functional.log_softmax(teacher / temperature, dim=-1),
        reduction="batchmean",
        log_target=True,
    )
    hard = functional.cross_entropy(student, truth)
    return true_labels * hard + (1 - true_labels) * temperature**2 * soft


def hidden_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Mean squared difference of states (texts, tokens, width) over the tokens that `mask` (texts, tokens) marks."""
    real = mask.bool()
    differences = [
        functional.mse_loss(mine[real], theirs[real]) for mine, theirs in zip(student, teacher, strict=True)
    ]
    return torch.stack(differences).mean()


def attention_loss(student: Sequence[Tensor], teacher: Sequence[Tensor], mask: Tensor) -> Tensor:
    """Divergence of attention (texts, heads, tokens, tokens) from the teacher's, a mean over heads and real tokens."""
    real = mask.bool()
    divergences = []
    for mine, theirs in zip(student, teacher, strict=True):
        found = functional.kl_div(
            mine.clamp_min(1e-9).log(), theirs.clamp_min(1e-9).log(), reduction="none", log_target=True
        )
        divergences.append(found.sum(dim=-1).mean(dim=1)[real].mean())
    return torch.stack(divergences).mean()
