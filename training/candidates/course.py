"""How a network's training goes: the `course` section of a candidate."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

_CALLBACK = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class CourseConfig(BaseModel):
    """When it is looked at, when it stops, how it computes, and what is kept of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    evaluate_every: int | None = Field(default=None, ge=1)
    """Steps between evaluations on the validation part; the last step is always one. Unset: once an epoch."""

    checkpoint_every: int | None = Field(default=None, ge=1)
    """Steps between checkpoints, beside those that every evaluation leaves: what a broken-off training loses at most.
    A checkpoint takes three times the size of the network on disk."""

    patience: int | None = Field(default=None, ge=1)
    """Evaluations in a row without a better macro-F1 after which training stops. Unset: it runs to its end."""

    min_gain: float = Field(default=0.0, ge=0)
    """By how much macro-F1 must rise to count as better for `patience`."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Numbers that the network computes with; its weights and the optimiser stay in float32. `auto` takes bfloat16
    where the hardware multiplies it faster: a GPU that has it, a CPU with AMX."""

    tensorboard: bool = True
    """Whether TensorBoard event files are written beside `run_history.json`."""

    keep: bool = False
    """Whether the trained network (for `from_pretrained`) and all its checkpoints stay in the run's report folder."""

    callbacks: tuple[str, ...] = ()
    """Further callbacks of transformers' Trainer, as `package.module:Class`; each is made without arguments."""

    @field_validator("callbacks")
    @classmethod
    def _named_in_full(cls, callbacks: tuple[str, ...]) -> tuple[str, ...]:
        for name in callbacks:
            if not _CALLBACK.fullmatch(name):
                raise ValueError(f"name a callback as package.module:Class, not {name!r}")
        return callbacks
