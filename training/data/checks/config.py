"""The `data.checks` section of an experiment file: from where on a finding is a warning, or stops the run."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Limits(BaseModel):
    """Two limits of one figure; null: none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    warn: float | None = Field(default=None, ge=0)
    """Above it, the finding is a warning."""

    stop: float | None = Field(default=None, ge=0)
    """Above it, the run stops before training."""

    @model_validator(mode="after")
    def _in_order(self) -> Limits:
        if self.warn is not None and self.stop is not None and self.warn > self.stop:
            raise ValueError(f"warn ({self.warn:g}) must not lie above stop ({self.stop:g})")
        return self


class ChecksConfig(BaseModel):
    """How much of each fault is accepted. A leak between the parts always stops the run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    duplicates: Limits = Limits(warn=0.1)
    """Share of the usable rows that repeat an earlier one; they are dropped."""

    conflicting_labels: Limits = Limits(warn=0.01)
    """Share of texts of which a copy, exact or near, has another label."""

    imbalance: Limits = Limits(warn=10)
    """Texts of the largest class over those of the smallest, in the training part."""

    truncated: Limits = Limits(warn=0.5)
    """Share of the training texts that a network reads only in part; of each network."""

    suspicious: Limits = Limits(warn=0.01)
    """Share of texts that are very short, hold no letters, markup, or characters of a wrong encoding."""

    other_languages: Limits = Limits(warn=0.05)
    """Share of the texts with a clear language that are not in the main one."""

    shortest: int = Field(default=3, ge=1)
    """Words below which a text is very short."""

    language_texts: int = Field(default=500, ge=0)
    """Texts of which the language is guessed, drawn by the seed; 0 leaves the check out."""

    language_certainty: float = Field(default=0.9, gt=0, le=1)
    """Probability from which a guessed language counts."""

    examples: int = Field(default=5, ge=0)
    """Texts that the page quotes of each finding."""
