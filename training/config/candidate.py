"""Configuration that all kinds of candidates share, and of candidates made of others."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from training.config import ConfigModel


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
