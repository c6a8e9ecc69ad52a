"""Configuration of networks: fine-tuned ones, and heads on frozen encoders."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from training.config import ConfigModel
from training.config.candidate import CandidateConfig
from training.config.finetuning import (
    AwpConfig,
    FreezeConfig,
    LossConfig,
    MixoutConfig,
    ScheduleConfig,
    SelfTrainingConfig,
)


class Int8Config(ConfigModel):
    """Whether and how a network is quantised: `int8: {}` takes the defaults."""

    max_f1_loss: float = Field(default=0.005, ge=0)
    """Macro-F1 on the validation part that it may lose against float32; if it loses more, the file is not kept."""

    per_channel: bool = True
    """A scale for each output of a layer, which is more exact than one scale for all of them."""

    serve: bool = False
    """Whether int8 is what the bundle runs, if it passed; else float32 is, and the int8 file lies beside it."""


def _some_layers(layers: int | tuple[int, ...] | None) -> int | tuple[int, ...] | None:
    if isinstance(layers, int) and layers < 1:
        raise ValueError(f"keep at least one layer, not {layers}")
    if isinstance(layers, tuple) and (not layers or list(layers) != sorted(set(layers)) or layers[0] < 0):
        raise ValueError(f"name layers from 0, rising, each once, not {list(layers)}")
    return layers


Layers = Annotated[int | tuple[int, ...] | None, AfterValidator(_some_layers)]
"""Which transformer layers of a network are kept."""


class NetworkConfig(CandidateConfig):
    """A pretrained network, fine-tuned with transformers' Trainer."""

    kind: Literal["network"] = "network"
    """Kind of the candidate."""

    weights: str = "all-minilm-l6-v2"
    """Pretrained weights: the packaged `all-minilm-l6-v2`, a hub name (`prajjwal1/bert-mini`), a folder, or a small
    untrained network for tests, `random-bert` or `random-distilbert`."""

    layers: Layers = None
    """Transformer layers to keep: a number keeps the first ones, a list keeps exactly those (from 0), in order.
    Unset: all. Fewer layers are cheaper to serve, nearly in proportion."""

    pooling: Literal["model", "mean"] = "model"
    """Input of the classification head: `model` is what the architecture gives it (for BERT the first token, through a
    pooler), `mean` the mean of all token vectors, for which sentence embedders such as MiniLM were trained."""

    self_training: SelfTrainingConfig | None = None
    """Self-training on the texts of `data.split.unlabelled`; `{}` takes the defaults. Unset: off."""

    max_length: int = Field(default=128, ge=8)
    """Maximum length in tokens, special tokens included; longer texts are truncated, in training and in serving."""

    max_unknown: float = Field(default=0.3, ge=0, le=1)
    """Maximum share of unknown tokens (`[UNK]`) in the training texts. Above it the candidate is not trained: the texts
    are in another language, script or case than the weights."""

    epochs: float = Field(default=2, gt=0)
    """Passes over the training part. The weights of the best epoch, by macro-F1 on the validation part, are kept."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak of AdamW's learning rate; it falls linearly to zero after the warm-up."""

    batch_size: int = Field(default=16, ge=1)
    """Texts per batch; when memory runs out, training continues with smaller batches."""

    accumulation: int = Field(default=1, ge=1)
    """Gradient accumulation: batches per optimiser step."""

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
    """Frozen parts of the network."""

    mixout: MixoutConfig | None = None
    """Mix the weights with the pretrained ones while training; `{}` takes the defaults. Unset: off."""

    awp: AwpConfig | None = None
    """Adversarial weight perturbation; `{}` takes the defaults. Unset: off."""

    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradient clipping: maximum norm."""

    schedule: ScheduleConfig = Field(default_factory=ScheduleConfig)
    """Evaluation, early stopping, precision, and the files that are kept."""

    parity_tolerance: float = Field(default=1e-3, gt=0)
    """Largest accepted difference of one probability between the trained and the exported network."""

    int8: Int8Config | None = None
    """Add an int8 network to the bundle, and its required accuracy; `{}` takes the defaults. Unset: no."""

    @model_validator(mode="after")
    def _mean_vectors_where_they_are_read(self) -> NetworkConfig:
        if self.kind != "network" and (self.pooling != "model" or self.self_training):
            raise ValueError("a student takes its head from its teacher: no `pooling` or `self_training`")
        if self.self_training and self.self_training.graph and self.pooling != "mean":
            raise ValueError("`self_training.graph` joins texts by their mean vectors: set `pooling: mean`")
        return self


class HeadConfig(CandidateConfig):
    """A linear head on a frozen encoder: logistic regression on the normalised mean of the token vectors.

    Only the head is trained, in seconds, and 8 to 16 texts per class are enough to begin with. The served ONNX file
    holds encoder and head; its size and latency are those of a fine-tuned network.
    """

    kind: Literal["head"] = "head"
    """Kind of the candidate."""

    weights: str = "all-minilm-l6-v2"
    """The encoder: the packaged `all-minilm-l6-v2`, a hub name of a sentence embedder
    (`sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2`), or a folder."""

    layers: Layers = None
    """Transformer layers to keep: a number keeps the first ones, a list keeps exactly those (from 0), in order.
    Unset: all."""

    max_length: int = Field(default=128, ge=8)
    """Maximum length in tokens, special tokens included; longer texts are truncated, in training and in serving."""

    max_unknown: float = Field(default=0.3, ge=0, le=1)
    """Maximum share of unknown tokens (`[UNK]`) in the training texts. Above it the candidate is not trained: the texts
    are in another language, script or case than the weights."""

    C: float = Field(default=1.0, gt=0)
    """Inverse regularisation strength of the logistic regression (scikit-learn's C)."""

    class_weights: Literal["balanced"] | None = None
    """`balanced`: texts weigh inversely to the frequency of their class in the training part. Unset: all alike."""

    parity_tolerance: float = Field(default=1e-3, gt=0)
    """Largest accepted difference of one probability between the trained and the exported network."""

    int8: Int8Config | None = None
    """Add an int8 network to the bundle, and its required accuracy; `{}` takes the defaults. Unset: no."""
