"""Configuration of classical candidates: TF-IDF features and the models on them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from training.config.candidate import CandidateConfig


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


class LogregConfig(TfidfConfig):
    """TF-IDF and logistic regression."""

    kind: Literal["tfidf_logreg"] = "tfidf_logreg"
    """Kind of the candidate."""

    C: float = Field(default=10.0, gt=0)
    """Inverse regularisation strength of the logistic regression (scikit-learn's C)."""

    class_weights: Literal["balanced"] | None = None
    """`balanced`: texts weigh inversely to the frequency of their class in the training part. Unset: all alike."""


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


class StaticLinearConfig(TfidfConfig):
    """Logistic regression on TF-IDF terms and on static token vectors that are distilled from a network.

    It runs no network: a text takes about 0.1 ms. With a `teacher` it also learns the teacher's probabilities of the
    texts of `data.split.unlabelled`.
    """

    kind: Literal["static_linear"] = "static_linear"
    """Kind of the candidate."""

    baseline: bool = False
    """A baseline: reported with the others; it can win only if the experiment sets `baselines_may_win`."""

    max_features: int = Field(default=50_000, ge=1)
    """Maximum number of terms, the most frequent first."""

    analyzer: Literal["word"] = "word"
    """Terms are words; see `character_ngrams`."""

    ngram_max: int = Field(default=2, ge=1)
    """Maximum n-gram size in words: 1 for single words, 2 for bigrams as well."""

    character_ngrams: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] | None = None
    """Minimum and maximum size of character n-grams within words, as a second set of terms; they suit texts with
    spelling variants, and cost about 0.2 ms per text. Unset: none."""

    weights: str | None = "all-minilm-l6-v2"
    """The network whose token vectors are distilled: as `weights` of a `network`, or the name of an earlier candidate
    that is a network. null: TF-IDF only."""

    width: int = Field(default=256, ge=1)
    """Width of the static vectors: principal components that are kept."""

    vector_scale: float = Field(default=1.0, gt=0)
    """Length of a text's static vector; that of its TF-IDF vector is 1. A longer one is regularised less."""

    C: float = Field(default=10.0, gt=0)
    """Inverse regularisation strength of the logistic regression (scikit-learn's C)."""

    class_weights: Literal["balanced"] | None = None
    """`balanced`: texts weigh inversely to the frequency of their class in the training part. Unset: all alike."""

    teacher: str | None = Field(default=None, coerce_numbers_to_str=True)
    """Labels the texts of `data.split.unlabelled`: an earlier candidate, `champion`, a version number or a bundle
    folder. Unset: only labelled texts are learned."""

    @model_validator(mode="after")
    def _sizes_in_order(self) -> StaticLinearConfig:
        if self.character_ngrams and self.character_ngrams[0] > self.character_ngrams[1]:
            raise ValueError("character_ngrams: the minimum size must not exceed the maximum")
        return self

    @property
    def built_on(self) -> tuple[str, ...]:
        """The network and the teacher, where they are candidates."""
        return tuple(name for name in (self.weights, self.teacher) if name)
