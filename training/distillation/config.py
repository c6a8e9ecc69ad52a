"""What an experiment file may say of students: one class a kind, every field with its meaning."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from training.candidates.config import NetworkConfig, TfidfConfig
from training.data import DataConfig

CHAMPION = "champion"


class ExtraTextsConfig(BaseModel):
    """Texts beyond the labelled ones, which only the teacher labels; never a held-out text, or a near copy of one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: DataConfig | None = None
    """Texts from a file or the hub, as an experiment's `data` names them; their labels are not looked at."""

    limit: int = Field(default=5000, ge=1)
    """At most so many texts of `source`, drawn by the seed."""

    copies: int = Field(default=0, ge=0)
    """Altered copies of each training text: a random run of its words, some of them left out (after Tang et al. 2019,
    *Distilling Task-Specific Knowledge from BERT into Simple Neural Networks*, arXiv:1903.12136)."""

    left_out: float = Field(default=0.1, ge=0, lt=1)
    """Share of an altered copy's words that are left out."""

    shortest: float = Field(default=0.3, gt=0, le=1)
    """Shortest run of words that a copy keeps, as a share of the text."""


class Lesson(BaseModel):
    """What every student has: who teaches it, and what it is taught."""

    teacher: str = Field(default=CHAMPION, coerce_numbers_to_str=True)
    """Who teaches: `champion`, a version's number, a bundle's folder, or an earlier candidate of this experiment."""

    true_labels: float = Field(default=0.3, ge=0, le=1)
    """Share of the true labels in what the student is to say; the rest is the teacher's probabilities."""

    softness: float = Field(default=2.0, gt=0)
    """Temperature of the teacher's probabilities (and, in a network's loss, of the student's): above 1 they tell more
    of which wrong labels are nearly right (Hinton et al. 2015, arXiv:1503.02531)."""

    extra_texts: ExtraTextsConfig = Field(default_factory=ExtraTextsConfig)
    """Texts that the teacher labels for the student besides the training part. None unless asked for."""


class DistilledConfig(Lesson, NetworkConfig):
    """A smaller network: some of the teacher's layers, taught by its soft labels and hidden states.

    A classical teacher has neither layers nor hidden states: then the student starts from `weights`, and learns from
    soft labels only. Training's other options are those of a `network`.
    """

    kind: Literal["distilled"] = "distilled"  # type: ignore[assignment]

    layers: int | tuple[int, ...] | None = None
    """The teacher's layers that the student keeps: a number keeps the first ones, a list exactly those (from 0).
    Unset: every other one, from the first, as DistilBERT did (Sanh et al. 2019, arXiv:1910.01108)."""

    hidden_weight: float = Field(default=1.0, ge=0)
    """Weight of the mean squared difference to the teacher's hidden states, embeddings included (TinyBERT, Jiao et al.
    2019, arXiv:1909.10351). 0: none."""

    attention_weight: float = Field(default=0.0, ge=0)
    """Weight of the divergence from the teacher's attention (MiniLM's measure, Wang et al. 2020, arXiv:2002.10957).
    0: none; above it, plain attention is computed, which is slower."""


class DistilledLinearConfig(Lesson, TfidfConfig):
    """TF-IDF and logistic regression, fitted on the teacher's soft labels: the smallest student there is."""

    kind: Literal["distilled_linear"] = "distilled_linear"

    baseline: bool = False

    strength: float = Field(default=10.0, gt=0)
    """Inverse of the regularisation (scikit-learn's C)."""
