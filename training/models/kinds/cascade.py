"""Candidate kind `cascade`: cheap candidates answer what they are sure of, dearer ones the rest together with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from training.models.config import CandidateConfig, register_candidate

if TYPE_CHECKING:
    from training.data import Splits
    from training.models.result import Trained, TrainingContext


@register_candidate
class CascadeConfig(CandidateConfig):
    """Earlier candidates of the experiment as stages of one classifier.

    A text goes to the first stage; what it is not sure of goes to the next one, whose log-probabilities are added. The
    thresholds hold what answering early costs within `max_accuracy_loss`.
    """

    kind: Literal["cascade"] = "cascade"
    """Kind of the candidate."""

    stages: tuple[str, ...] = Field(min_length=2)
    """Names of earlier candidates, the cheapest first."""

    max_accuracy_loss: float = Field(default=0.005, gt=0, lt=0.5)
    """Limit of the accuracy lost against sending every text through all stages, on texts such as those of the
    validation part. With `confidence` 0.95, 0.005 needs at least 669 texts of the validation part and of
    `data.split.calibration` together, 0.01 half of that; with fewer, every text goes through all stages."""

    max_class_loss: float = Field(default=0.05, gt=0, lt=0.5)
    """The same among the texts to which a stage gives one label. A label with too few texts is never answered early."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Confidence with which `max_accuracy_loss` holds."""

    @model_validator(mode="after")
    def _distinct(self) -> CascadeConfig:
        if len(set(self.stages)) != len(self.stages):
            raise ValueError(f"stages must be distinct, not {list(self.stages)}")
        return self

    @property
    def built_on(self) -> tuple[str, ...]:
        """The stages."""
        return self.stages

    def train(self, splits: Splits, context: TrainingContext) -> Trained:
        """See `CandidateConfig.train`."""
        from training.cascade.fit import fit_cascade

        return fit_cascade(self, splits, context)
