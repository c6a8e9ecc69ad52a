"""What an experiment file may ask for above plain fine-tuning: `candidates.x.self_training`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class GraphConfig(BaseModel):
    """Labels spread over a graph of near sentence vectors of the teachers' untouched network: a second opinion for
    nothing but one pass over the texts."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    neighbours: int = Field(default=40, ge=1)
    """Edges that start at each text."""

    reach: float = Field(default=0.9, gt=0, lt=1)
    """Share of its label that a text takes from its neighbours; the rest is what it began with."""

    weight: float = Field(default=0.5, gt=0, le=1)
    """Share of the graph in the labels; the teachers have the rest. With 1 no teacher is trained."""


class SelfTrainingConfig(BaseModel):
    """Learning from texts without labels (`data.split.unlabelled`): a teacher labels them, a fresh network learns all.

    Hudson Scudder: *Probability of Error of Some Adaptive Pattern-Recognition Machines*, 1965; as noisy student,
    Qizhe Xie et al., CVPR 2020, arXiv:1911.04252. The teacher is the same network, or another one, fine-tuned on the
    labelled texts as the candidate's other options say; the student starts from the candidate's pretrained weights.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    teachers: int = Field(default=1, ge=1)
    """Networks, each fine-tuned with a seed of its own, whose mean probabilities are the labels. Each costs a
    training."""

    teacher_weights: str | None = None
    """Where the teachers start, named as a network's `weights`: a larger network than the one that is served may say
    what the texts are, for it is needed in training only. Unset: the candidate's own weights and layers."""

    teacher_learning_rate: float | None = Field(default=None, gt=0)
    """Peak of the teachers' learning rate; a larger network wants a lower one. Unset: the candidate's."""

    graph: GraphConfig | None = None
    """Spread the labels over a graph of all texts, too; `{}` takes the defaults. Needs `pooling: mean`. Unset: off."""

    limit: int | None = Field(default=None, ge=1)
    """At most so many unlabelled texts, drawn by the seed. Unset: all."""

    confidence: float = Field(default=0.0, ge=0, le=1)
    """Texts whose most probable label is below this probability are left out."""

    softness: float = Field(default=1.0, gt=0)
    """Temperature of the teacher's probabilities: below 1 they are sharpened, above 1 flattened."""

    epochs: float = Field(default=1.0, gt=0)
    """The student's passes over labelled and unlabelled texts together."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak of the student's learning rate."""

    batch_size: int = Field(default=16, ge=1)
    """Texts of a step of the student."""

    repeat: int = Field(default=1, ge=1)
    """How often a pass holds each labelled text: there are many more of the others."""
