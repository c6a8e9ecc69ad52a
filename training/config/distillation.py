"""Configuration of students, which learn from a teacher."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from training.config import ConfigModel
from training.config.candidate import CandidateConfig
from training.config.data import DataConfig
from training.config.network import NetworkConfig
from training.config.tfidf import TfidfConfig

CHAMPION = "champion"


class ExtraTextsConfig(ConfigModel):
    """Unlabelled texts, labelled by the teacher; held-out texts and near copies of them are excluded."""

    source: DataConfig | None = None
    """Texts from a file or the hub, as an experiment's `data` names them; their labels are ignored."""

    limit: int = Field(default=5000, ge=1)
    """Maximum number of texts of `source`, sampled by the seed."""

    copies: int = Field(default=0, ge=0)
    """Altered copies of each training text: a random run of its words, some of them left out (after Tang et al. 2019,
    *Distilling Task-Specific Knowledge from BERT into Simple Neural Networks*, arXiv:1903.12136)."""

    left_out: float = Field(default=0.1, ge=0, lt=1)
    """Share of an altered copy's words that are left out."""

    shortest: float = Field(default=0.3, gt=0, le=1)
    """Shortest run of words that a copy keeps, as a share of the text."""


class DistillationConfig(CandidateConfig):
    """Options of every student: its teacher and the distillation loss."""

    teacher: str = Field(default=CHAMPION, coerce_numbers_to_str=True)
    """The teacher: `champion`, a version number, a bundle folder, or an earlier candidate of this experiment."""

    true_labels: float = Field(default=0.3, ge=0, le=1)
    """Weight of the true labels in the target; the remainder is the weight of the teacher's probabilities."""

    temperature: float = Field(default=2.0, gt=0)
    """Temperature of the teacher's probabilities (and, in a network's loss, of the student's): above 1
    the similarity of wrong labels counts more (Hinton et al. 2015, arXiv:1503.02531)."""

    extra_texts: ExtraTextsConfig = Field(default_factory=ExtraTextsConfig)
    """Further texts that the teacher labels, in addition to the training part. Default: none."""

    @property
    def built_on(self) -> tuple[str, ...]:
        """The teacher, where it is a candidate."""
        return (self.teacher,)


class DistilledConfig(DistillationConfig, NetworkConfig):
    """A smaller network: some of the teacher's layers, trained on its soft labels and hidden states.

    A classical teacher has neither layers nor hidden states: then the student starts from `weights`, and learns from
    soft labels only. Training's other options are those of a `network`.
    """

    kind: Literal["distilled"] = "distilled"  # type: ignore[assignment]
    """Kind of the candidate."""

    layers: int | tuple[int, ...] | None = None
    """The teacher's layers that the student keeps: a number keeps the first ones, a list exactly those (from 0).
    Unset: every other one, from the first, as DistilBERT did (Sanh et al. 2019, arXiv:1910.01108)."""

    hidden_weight: float = Field(default=1.0, ge=0)
    """Weight of the mean squared difference to the teacher's hidden states, embeddings included (TinyBERT, Jiao et al.
    2019, arXiv:1909.10351). 0: none."""

    attention_weight: float = Field(default=0.0, ge=0)
    """Weight of the divergence from the teacher's attention (MiniLM's measure, Wang et al. 2020, arXiv:2002.10957).
    0: none; above it, plain attention is computed, which is slower."""


class DistilledLinearConfig(DistillationConfig, TfidfConfig):
    """TF-IDF and logistic regression, fitted on the teacher's soft labels."""

    kind: Literal["distilled_linear"] = "distilled_linear"
    """Kind of the candidate."""

    baseline: bool = False
    """A baseline: reported with the others; it can win only if the experiment sets `baselines_may_win`."""

    C: float = Field(default=10.0, gt=0)
    """Inverse regularisation strength of the logistic regression (scikit-learn's C)."""
