"""Configuration of fine-tuning: schedule, regularisation, and self-training."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from training.config import ConfigModel

_CALLBACK = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class ScheduleConfig(ConfigModel):
    """Evaluation, checkpoints, early stopping, numeric precision and callbacks of a training run."""

    evaluate_every: int | None = Field(default=None, ge=1)
    """Steps between evaluations on the validation part; the last step is always evaluated. Unset: once per epoch."""

    checkpoint_every: int | None = Field(default=None, ge=1)
    """Steps between checkpoints, in addition to one per evaluation: the most that an interrupted run loses. A
    checkpoint takes three times the size of the network on disk."""

    patience: int | None = Field(default=None, ge=1)
    """Early stopping: consecutive evaluations without a better macro-F1. Unset: no early stopping."""

    min_gain: float = Field(default=0.0, ge=0)
    """Minimum gain of macro-F1 that counts as better for `patience`."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Precision of the computation; weights and optimiser state stay in float32. `auto` takes bfloat16
    where the hardware multiplies it faster: a GPU that has it, a CPU with AMX."""

    tensorboard: bool = True
    """Write TensorBoard event files next to `run_history.json`."""

    keep: bool = False
    """Keep the trained network (for `from_pretrained`) and all checkpoints in the run's report folder."""

    callbacks: tuple[str, ...] = ()
    """Further callbacks of transformers' Trainer, as `package.module:Class`; each is made without arguments."""

    @field_validator("callbacks")
    @classmethod
    def _named_in_full(cls, callbacks: tuple[str, ...]) -> tuple[str, ...]:
        for name in callbacks:
            if not _CALLBACK.fullmatch(name):
                raise ValueError(f"name a callback as package.module:Class, not {name!r}")
        return callbacks


Weight = Annotated[float, Field(gt=0)]


class AwpConfig(ConfigModel):
    """Adversarial Weight Perturbation (Wu, Xia, Wang 2020, arXiv:2004.05884). Each perturbed batch costs twice the
    time."""

    epsilon: float = Field(default=0.005, gt=0)
    """Size of the perturbation of each weight matrix, relative to the norm of the matrix."""

    share: float = Field(default=0.5, gt=0, le=1)
    """Weight of the gradient at the moved weights; that at the weights themselves has the rest. The paper takes 1."""

    start_epoch: float = Field(default=1.0, ge=0)
    """Epochs before the perturbation starts."""


class MixoutConfig(ConfigModel):
    """Mixout (Lee, Cho, Kang 2020, arXiv:1909.11299) of the pretrained body; the new head has nothing to mix with."""

    p: float = Field(default=0.7, ge=0, lt=1)
    """Probability of each weight to be the pretrained one for a batch. The paper fine-tunes with 0.7 to 0.9."""

    replaces_dropout: bool = True
    """Whether the body's dropout is off meanwhile, as in the paper."""


class LossConfig(ConfigModel):
    """For skewed labels. Without options it is cross-entropy; `label_smoothing` of the candidate joins either."""

    class_weights: Literal["balanced"] | dict[str, Weight] | None = None
    """`balanced`: inverse to the frequency in the training part; or label → weight, where a label that is not listed
    weighs 1; unset: every text weighs the same. They are scaled so that the mean over the training texts is 1."""

    balance: float = Field(default=1.0, gt=0, le=1)
    """Exponent of `balanced`: 1 weighs by the inverse frequency, 0.5 by its square root."""

    focal_gamma: float = Field(default=0.0, ge=0)
    """Focal loss (Lin et al. 2017, arXiv:1708.02002): a text's loss counts (1 − p)^gamma, p being the probability of
    its true label. The paper takes 2; 0 is off."""


class FreezeConfig(ConfigModel):
    """What keeps its pretrained weights. Frozen layers cost no backward pass."""

    embeddings: bool = False
    """Whether the embeddings are frozen."""

    layers: int = Field(default=0, ge=0)
    """How many layers, counted from the lowest, are frozen."""


class GraphConfig(ConfigModel):
    """Label spreading over a nearest-neighbour graph of sentence vectors, which the teachers' pretrained network
    computes in one pass over the texts."""

    neighbours: int = Field(default=40, ge=1)
    """Number of nearest neighbours per text."""

    alpha: float = Field(default=0.9, gt=0, lt=1)
    """Clamping factor (scikit-learn's alpha): share of its label that a text takes from its neighbours."""

    weight: float = Field(default=0.5, gt=0, le=1)
    """Weight of the graph in the labels; the teachers have the remainder. With 1 no teacher is trained."""


class SelfTrainingConfig(ConfigModel):
    """Learning from texts without labels (`data.split.unlabelled`): a teacher labels them, a fresh network learns all.

    Hudson Scudder: *Probability of Error of Some Adaptive Pattern-Recognition Machines*, 1965; as noisy student,
    Qizhe Xie et al., CVPR 2020, arXiv:1911.04252. The teacher is the same network, or another one, fine-tuned on the
    labelled texts as the candidate's other options say; the student starts from the candidate's pretrained weights.
    """

    teachers: int = Field(default=1, ge=1)
    """Number of teachers, each fine-tuned with a different seed; their mean probabilities are the labels."""

    teacher_weights: str | None = None
    """Pretrained weights of the teachers, as in `weights`: may be a larger network, because it is needed in training
    only. Unset: the candidate's own weights and layers."""

    teacher_learning_rate: float | None = Field(default=None, gt=0)
    """Peak learning rate of the teachers; larger networks need lower rates. Unset: the candidate's."""

    graph: GraphConfig | None = None
    """Label spreading over a graph of all texts; `{}` takes the defaults. Needs `pooling: mean`. Unset: off."""

    limit: int | None = Field(default=None, ge=1)
    """Maximum number of unlabelled texts, sampled by the seed. Unset: all."""

    confidence: float = Field(default=0.0, ge=0, le=1)
    """Minimum probability of the most probable label; texts below it are left out."""

    temperature: float = Field(default=1.0, gt=0)
    """Temperature of the teacher's probabilities: below 1 they are sharpened, above 1 flattened."""

    epochs: float = Field(default=1.0, gt=0)
    """The student's passes over labelled and unlabelled texts together."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak of the student's learning rate."""

    batch_size: int = Field(default=16, ge=1)
    """Texts per step of the student."""

    repeat: int = Field(default=1, ge=1)
    """Repetitions of each labelled text per epoch, against the larger number of unlabelled ones."""
