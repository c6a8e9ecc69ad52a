"""What an experiment file may say of a candidate: one class a kind, every field with its meaning."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from training.candidates.course import CourseConfig
from training.candidates.regularising import AwpConfig, FreezeConfig, LossConfig, MixoutConfig
from training.int8 import Int8Config
from training.lifting.config import SelfTrainingConfig


class CandidateConfig(BaseModel):
    """What every kind of candidate has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    baseline: bool = False
    """A yardstick: reported with the others, and wins only where the experiment's `baselines_may_win` says so."""

    note: str = ""
    """A sentence for people: what this candidate is meant to show."""


class NetworkConfig(CandidateConfig):
    """A pretrained network, fine-tuned with transformers' Trainer."""

    kind: Literal["network"] = "network"

    weights: str = "all-minilm-l6-v2"
    """Where it starts: the packaged `all-minilm-l6-v2`, a hub name (`prajjwal1/bert-mini`), a folder, or a small
    untrained network, `random-bert` or `random-distilbert`, which is for trying things out."""

    layers: int | tuple[int, ...] | None = None
    """Transformer layers to keep: a number keeps the first ones, a list keeps exactly those (from 0), in order.
    Unset: all. Fewer layers are cheaper to serve, nearly in proportion."""

    pooling: Literal["model", "mean"] = "model"
    """What the head reads: `model` is what its architecture gives it (for BERT the first token, through a pooler),
    `mean` the mean of all token vectors, for which sentence embedders such as MiniLM were trained."""

    self_training: SelfTrainingConfig | None = None
    """Learn from the texts of `data.split.unlabelled`, too; `{}` takes the defaults. Unset: no."""

    max_length: int = Field(default=128, ge=8)
    """Tokens it reads, special tokens included; the rest of a text is cut, in training as in serving."""

    epochs: float = Field(default=2, gt=0)
    """Passes over the training part. The weights of the best epoch, by macro-F1 on the validation part, are kept."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak of AdamW's learning rate; it falls linearly to zero after the warm-up."""

    batch_size: int = Field(default=16, ge=1)
    """Texts that pass through the network at once; where memory does not suffice, training goes on with fewer."""

    accumulation: int = Field(default=1, ge=1)
    """Batches whose gradients are added before a step: the same step as a batch that many times larger."""

    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps over which the learning rate rises from zero."""

    weight_decay: float = Field(default=0.01, ge=0)
    """AdamW's weight decay."""

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Probability taken from the true label and spread over all of them while training."""

    loss: LossConfig = Field(default_factory=LossConfig)
    """Class weights and focal loss, for skewed labels."""

    layer_decay: float = Field(default=1.0, gt=0, le=1)
    """Each layer learns at this share of the rate of the layer above it (ULMFiT, arXiv:1801.06146; ELECTRA,
    arXiv:2003.10555): the head at `learning_rate`, the embeddings slowest. 1: all learn alike."""

    freeze: FreezeConfig = Field(default_factory=FreezeConfig)
    """What of the network learns nothing."""

    mixout: MixoutConfig | None = None
    """Mix the weights with the pretrained ones while training; `{}` takes the defaults. Unset: off."""

    awp: AwpConfig | None = None
    """Learn at weights that are perturbed against the loss, too; `{}` takes the defaults. Unset: off."""

    max_gradient_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm."""

    course: CourseConfig = Field(default_factory=CourseConfig)
    """When it is evaluated and stopped, in which precision it computes, and what is kept of the training."""

    parity_tolerance: float = Field(default=1e-3, gt=0)
    """Largest accepted difference of one probability between the trained and the exported network."""

    int8: Int8Config | None = None
    """Whether the bundle also gets the network with eight-bit weights, and when it is good enough. Unset: no."""

    @model_validator(mode="after")
    def _mean_vectors_where_they_are_read(self) -> NetworkConfig:
        if self.kind != "network" and (self.pooling != "model" or self.self_training):
            raise ValueError("a student takes its head from its teacher: no `pooling` or `self_training`")
        if self.self_training and self.self_training.graph and self.pooling != "mean":
            raise ValueError("`self_training.graph` joins texts by their mean vectors: set `pooling: mean`")
        return self

    @field_validator("layers")
    @classmethod
    def _some_layers(cls, layers: int | tuple[int, ...] | None) -> int | tuple[int, ...] | None:
        if isinstance(layers, int) and layers < 1:
            raise ValueError(f"keep at least one layer, not {layers}")
        if isinstance(layers, tuple) and (not layers or list(layers) != sorted(set(layers)) or layers[0] < 0):
            raise ValueError(f"name layers from 0, rising, each once, not {list(layers)}")
        return layers


class TfidfConfig(CandidateConfig):
    """What the classical candidates share: how texts become TF-IDF features."""

    baseline: bool = True

    max_features: int = Field(default=20_000, ge=1)
    """Terms kept, the most frequent first."""

    longest_phrase: int = Field(default=1, ge=1)
    """Longest run of words that counts as a term: 1 takes words, 2 also pairs."""

    min_texts: int = Field(default=2, ge=1)
    """Texts that a term must stand in."""

    lowercase: bool = True
    """Whether case is ignored."""

    stop_words: Literal["english"] | None = "english"
    """Words to leave out: scikit-learn's English list, or none."""

    token_pattern: str = r"(?u)\b\w\w+\b"
    """Regular expression of a word."""

    sublinear: bool = True
    """Whether a term's count enters by its logarithm."""


class LogregConfig(TfidfConfig):
    """TF-IDF and logistic regression: what a careful person would try first."""

    kind: Literal["tfidf_logreg"] = "tfidf_logreg"

    strength: float = Field(default=10.0, gt=0)
    """Inverse of the regularisation (scikit-learn's C)."""


class PerceptronConfig(TfidfConfig):
    """TF-IDF and a multilayer perceptron: the baseline network, which knows nothing but the training part."""

    kind: Literal["tfidf_mlp"] = "tfidf_mlp"

    max_features: int = Field(default=10_000, ge=1)
    """Terms kept, the most frequent first. The first layer grows in proportion."""

    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(128,), min_length=1)
    """Units of each hidden layer, in order; between them ReLU."""

    epochs: int = Field(default=40, ge=1)
    """Passes over the training part at most. The weights of the best one, by macro-F1 on the validation part, are
    kept."""

    patience: int = Field(default=5, ge=1)
    """Epochs without a better macro-F1 on the validation part after which training stops."""

    learning_rate: float = Field(default=1e-3, gt=0)
    """Adam's learning rate."""

    batch_size: int = Field(default=32, ge=1)
    """Texts a step."""

    l2: float = Field(default=1e-4, ge=0)
    """L2 penalty on the weights (scikit-learn's alpha)."""


class CatBoostConfig(TfidfConfig):
    """TF-IDF and gradient-boosted trees."""

    kind: Literal["tfidf_catboost"] = "tfidf_catboost"

    max_features: int = Field(default=1_000, ge=1)
    """Terms kept, the most frequent first. Training time grows in proportion."""

    iterations: int = Field(default=100, ge=1)
    """Trees."""

    learning_rate: float = Field(default=0.2, gt=0)
    """Weight of each tree."""

    depth: int = Field(default=4, ge=1, le=16)
    """Depth of each tree."""

    l2: float = Field(default=3.0, ge=0)
    """L2 regularisation of the leaves."""
