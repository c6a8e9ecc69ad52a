"""The `behaviour` section of an experiment file: how much the behavioural tests of the winner try."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class BehaviourConfig(BaseModel):
    """What is tried on the winner; what it must reach stands in `gate.behaviour`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    texts: int = Field(default=100, ge=0)
    """Test texts that are changed in every way, drawn by the seed; 0 leaves the tests out. Each costs about eight
    predictions."""

    typos: float = Field(default=0.05, gt=0, le=1)
    """Share of the longer words that get a typo, at least one a text."""

    tolerance: float = Field(default=0.05, ge=0, lt=1)
    """Share of its probability that a class may lose when words of its own are added, before that is a failure."""

    minimum: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Label → short, plain texts that must get it. A label with none is tried with its most telling words in the
    training part."""

    words: int = Field(default=20, ge=5)
    """Telling words of a class, of which short texts are made and which are added to texts."""

    examples: int = Field(default=5, ge=0)
    """Failures that the report shows of each test."""
