"""Candidate kind `static_linear`: logistic regression on TF-IDF terms and static token vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator

from training.models.config import TfidfConfig, register_candidate

if TYPE_CHECKING:
    from training.data import Splits
    from training.models.result import Trained, TrainingContext


@register_candidate
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

    def train(self, splits: Splits, context: TrainingContext) -> Trained:
        """See `CandidateConfig.train`."""
        from training.models.static_linear import train_static_linear

        return train_static_linear(self, splits, context)
