"""Configuration of candidates: one class per kind, which trains itself."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import AfterValidator, Field, model_validator
from pydantic.fields import FieldInfo

from training.config import ConfigModel
from training.data import DataConfig
from training.finetuning.config import (
    AwpConfig,
    FreezeConfig,
    LossConfig,
    MixoutConfig,
    ScheduleConfig,
    SelfTrainingConfig,
)

if TYPE_CHECKING:  # importing them takes seconds, and a configuration needs none of it
    from training.data import Splits
    from training.models.result import Trained, TrainingContext


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


class CandidateConfig(ConfigModel):
    """Base of all kinds of candidates. A subclass has a literal `kind` and the decorator `register_candidate`."""

    kind: str
    """Kind of the candidate."""

    baseline: bool = False
    """A baseline: reported with the others; it can win only if the experiment sets `baselines_may_win`."""

    note: str = ""
    """A comment, shown in reports."""

    @property
    def built_on(self) -> tuple[str, ...]:
        """Names of other candidates of the experiment that must be trained first; names that are none are ignored."""
        return ()

    @abstractmethod
    def train(self, splits: Splits, context: TrainingContext) -> Trained:
        """Train on `splits.train`, choosing by `splits.validation`, and write the model's files to `context.bundle`.

        Raises:
            TrainingError: it cannot be trained; the message says why.
        """


CandidateClass = TypeVar("CandidateClass", bound=type[CandidateConfig])
_KINDS: dict[str, type[CandidateConfig]] = {}


def register_candidate(config: CandidateClass) -> CandidateClass:
    """Class decorator: a kind of candidate for experiment files, by the default of its field `kind`.

    Raises:
        ValueError: the kind is registered for another class, or has no default.
    """
    fields: dict[str, FieldInfo] = config.model_fields  # type: ignore[call-overload]
    kind = fields["kind"].default
    if not isinstance(kind, str):
        raise ValueError(f"{config.__qualname__}.kind needs a default, such as kind: Literal['x'] = 'x'")
    known = _KINDS.setdefault(kind, config)
    if known is not config:
        raise ValueError(f"the kind {kind!r} is registered for {known.__qualname__}")
    return config


def registered_candidates() -> dict[str, type[CandidateConfig]]:
    """The registered kinds by name."""
    return dict(_KINDS)


@register_candidate
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

    def train(self, splits: Splits, context: TrainingContext) -> Trained:
        """See `CandidateConfig.train`."""
        from training.models.transformer import train_network

        return train_network(self, splits, context)


@register_candidate
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

    def train(self, splits: Splits, context: TrainingContext) -> Trained:
        """See `CandidateConfig.train`."""
        from training.models.frozen_encoder import train_head

        return train_head(self, splits, context)


class TfidfConfig(CandidateConfig):
    """TF-IDF features, shared by the classical candidates."""

    baseline: bool = True
    """A baseline: reported with the others; it can win only if the experiment sets `baselines_may_win`."""

    max_features: int = Field(default=20_000, ge=1)
    """Maximum number of terms, the most frequent first."""

    analyzer: Literal["word", "char_wb", "char"] = "word"
    """N-grams of words, of characters within words (`char_wb`), or of characters. Characters suit scripts without
    spaces and texts with many spelling variants; `stop_words` and `token_pattern` apply to words only."""

    ngram_min: int = Field(default=1, ge=1)
    """Minimum n-gram size, in words or characters."""

    ngram_max: int = Field(default=1, ge=1)
    """Maximum n-gram size: 1 for single words, 2 for bigrams as well; in characters where `analyzer` says so."""

    min_df: int = Field(default=2, ge=1)
    """Minimum document frequency: texts that contain a term."""

    lowercase: bool = True
    """Whether case is ignored."""

    stop_words: Literal["english"] | None = "english"
    """Words to leave out: scikit-learn's English list, or none."""

    token_pattern: str = r"(?u)\b\w\w+\b"
    """Regular expression of a word."""

    sublinear_tf: bool = True
    """Sublinear term frequency: 1 + log(tf) instead of tf."""

    @model_validator(mode="after")
    def _phrases_in_order(self) -> TfidfConfig:
        if self.ngram_min > self.ngram_max:
            raise ValueError(f"ngram_min ({self.ngram_min}) must not exceed ngram_max ({self.ngram_max})")
        return self


@register_candidate
class LogregConfig(TfidfConfig):
    """TF-IDF and logistic regression."""

    kind: Literal["tfidf_logreg"] = "tfidf_logreg"
    """Kind of the candidate."""

    C: float = Field(default=10.0, gt=0)
    """Inverse regularisation strength of the logistic regression (scikit-learn's C)."""

    class_weights: Literal["balanced"] | None = None
    """`balanced`: texts weigh inversely to the frequency of their class in the training part. Unset: all alike."""

    def train(self, splits: Splits, context: TrainingContext) -> Trained:
        """See `CandidateConfig.train`."""
        from training.models.sklearn import train_logreg

        return train_logreg(self, splits, context)


@register_candidate
class PerceptronConfig(TfidfConfig):
    """TF-IDF and a multilayer perceptron: the baseline network, trained from scratch."""

    kind: Literal["tfidf_mlp"] = "tfidf_mlp"
    """Kind of the candidate."""

    max_features: int = Field(default=10_000, ge=1)
    """Maximum number of terms, the most frequent first; the size of the first layer is proportional to it."""

    hidden: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(128,), min_length=1)
    """Units of each hidden layer, in order; between them ReLU."""

    epochs: int = Field(default=40, ge=1)
    """Maximum passes over the training part. The weights of the best epoch, by macro-F1 on the validation part, are
    kept."""

    patience: int = Field(default=5, ge=1)
    """Early stopping: epochs without a better macro-F1 on the validation part."""

    learning_rate: float = Field(default=1e-3, gt=0)
    """Adam's learning rate."""

    batch_size: int = Field(default=32, ge=1)
    """Texts per step."""

    l2: float = Field(default=1e-4, ge=0)
    """L2 penalty on the weights (scikit-learn's alpha)."""

    def train(self, splits: Splits, context: TrainingContext) -> Trained:
        """See `CandidateConfig.train`."""
        from training.models.sklearn import train_perceptron

        return train_perceptron(self, splits, context)


@register_candidate
class CatBoostConfig(TfidfConfig):
    """TF-IDF and gradient-boosted trees."""

    kind: Literal["tfidf_catboost"] = "tfidf_catboost"
    """Kind of the candidate."""

    max_features: int = Field(default=1_000, ge=1)
    """Maximum number of terms, the most frequent first; training time is proportional to it."""

    iterations: int = Field(default=100, ge=1)
    """Number of trees."""

    learning_rate: float = Field(default=0.2, gt=0)
    """Learning rate of the boosting."""

    depth: int = Field(default=4, ge=1, le=16)
    """Depth of each tree."""

    l2: float = Field(default=3.0, ge=0)
    """L2 regularisation of the leaves."""

    def train(self, splits: Splits, context: TrainingContext) -> Trained:
        """See `CandidateConfig.train`."""
        from training.models.sklearn import train_catboost

        return train_catboost(self, splits, context)


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


@register_candidate
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

    def train(self, splits: Splits, context: TrainingContext) -> Trained:
        """See `CandidateConfig.train`."""
        from training.distillation.student import train_student

        return train_student(self, splits, context)


@register_candidate
class DistilledLinearConfig(DistillationConfig, TfidfConfig):
    """TF-IDF and logistic regression, fitted on the teacher's soft labels."""

    kind: Literal["distilled_linear"] = "distilled_linear"
    """Kind of the candidate."""

    baseline: bool = False
    """A baseline: reported with the others; it can win only if the experiment sets `baselines_may_win`."""

    C: float = Field(default=10.0, gt=0)
    """Inverse regularisation strength of the logistic regression (scikit-learn's C)."""

    def train(self, splits: Splits, context: TrainingContext) -> Trained:
        """See `CandidateConfig.train`."""
        from training.distillation.student import train_linear_student

        return train_linear_student(self, splits, context)
