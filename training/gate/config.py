"""The `gate` section of an experiment file: what a winner must show before it replaces the champion."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class BehaviourLimits(BaseModel):
    """What the behavioural tests (`training/behaviour/`) must reach; a limit set to null is reported only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    invariance_min: float | None = Field(default=0.8, ge=0, le=1)
    """Lowest share of texts that keep their label when case, spelling, names or punctuation change; of each kind."""

    direction_min: float | None = Field(default=0.8, ge=0, le=1)
    """Lowest share of texts to which a class's own words are added without making that class less probable."""

    minimum_min: float | None = Field(default=0.8, ge=0, le=1)
    """Lowest share of short, plain texts that get their label."""

    on_failure: Literal["block", "warn"] = "warn"
    """Whether a missed limit keeps the winner from being promoted, or is only said."""


class GateConfig(BaseModel):
    """What a winner must show before it replaces the champion.

    Ceilings and the floor apply to the first champion, too; a limit set to null is reported and does not decide.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_gain: float = 0.0
    """The lower bound of the interval of the macro-F1 difference to the champion must lie above this."""

    min_macro_f1: float | None = Field(default=None, ge=0, le=1)
    """Lowest macro-F1 on the test part, whatever the champion reaches."""

    max_class_fall: float | None = Field(default=0.05, ge=0, le=1)
    """Largest fall of one class's F1 against the champion's on the same texts."""

    class_fall_certainty: float = Field(default=0.8, gt=0.5, lt=1)
    """How sure a larger fall must be before it blocks, over all classes together. Higher forgives small classes more
    of their noise; lower lets less slip through."""

    max_milliseconds: float | None = Field(default=None, gt=0)
    """Ceiling of the median time of one text by itself, on the machine that trains."""

    max_milliseconds_p95: float | None = Field(default=None, gt=0)
    """Ceiling of the time that 95 of 100 single texts stay below."""

    max_megabytes: float | None = Field(default=None, gt=0)
    """Ceiling of the size of the files that serving loads."""

    max_calibration_error: float | None = Field(default=None, ge=0, le=1)
    """Ceiling of the expected calibration error on the test part, after temperature scaling."""

    behaviour: BehaviourLimits = Field(default_factory=BehaviourLimits)
    """What the behavioural tests must reach."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Confidence of every interval of the report."""

    resamples: int = Field(default=2000, ge=100)
    """Bootstrap resamples behind each interval."""
