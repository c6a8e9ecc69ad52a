"""The `phases` and `search` sections of an experiment file."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from training.config import ConfigModel
from training.config.candidate import CandidateConfig

SEARCH_PHASE, LAST_PHASE = "search", "evaluation"
"""What trials, and what the configurations that they found, are tagged with."""


class Dimension(ConfigModel):
    """Search space of one key: a range of numbers, or a list of choices."""

    low: int | float | None = None
    """Smallest number of a range; whole if both ends are."""

    high: int | float | None = None
    """Largest number of a range, itself included."""

    log: bool = False
    """Log-uniform sampling of the range, as for learning rates."""

    choices: tuple[Any, ...] | None = Field(default=None, min_length=2)
    """Anything that the field can hold, lists and null included; given instead of a range."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Dimension:
        if self.choices is not None:
            if self.low is not None or self.high is not None or self.log:
                raise ValueError("give either `choices`, or `low` and `high`, not both")
            return self
        if self.low is None or self.high is None:
            raise ValueError("give `choices`, or both `low` and `high`")
        if self.low >= self.high:
            raise ValueError(f"low ({self.low}) must be below high ({self.high})")
        if self.log and self.low <= 0:
            raise ValueError(f"a range that is searched by its logarithm starts above 0, not at {self.low}")
        return self

    @property
    def ends(self) -> tuple[Any, ...]:
        """Values that, when the candidate takes them, it takes all: the ends of a range, or every choice."""
        return self.choices if self.choices is not None else (self.low, self.high)


class PrunerConfig(ConfigModel):
    """Pruning of trials by macro-F1 on the validation part after each epoch."""

    kind: Literal["median", "halving", "none"] = "median"
    """`median`: pruned when its best epoch so far is below the median of the others at that epoch; `halving`: only the
    better half of those that reached the same epoch continues, asynchronously (Li et al. 2018, arXiv:1810.05934);
    `none`: never."""

    startup_trials: int = Field(default=4, ge=0)
    """Trials that must finish before `median` prunes (Optuna's n_startup_trials)."""

    warmup_epochs: int = Field(default=1, ge=0)
    """Epochs before any trial is pruned (Optuna's n_warmup_steps)."""


class SearchConfig(ConfigModel):
    """A search by Optuna's tree-structured Parzen estimator (Bergstra et al. 2011, NeurIPS 24)."""

    candidate: str
    """The candidate whose keys are searched; keys not in `space` keep its values."""

    space: dict[str, Dimension] = Field(min_length=1)
    """Field of that candidate, dotted where it lies deeper → what it may be."""

    trials: int = Field(default=20, ge=1)
    """Number of trials, pruned and failed ones included; each further process may add one."""

    startup_trials: int = Field(default=6, ge=1)
    """Random trials before the TPE sampler starts (Optuna's n_startup_trials)."""

    keep: int = Field(default=1, ge=1)
    """Number of best configurations that are trained again and compared with the other candidates."""

    timeout: float | None = Field(default=None, gt=0)
    """Seconds after which a process starts no further trial; unset: no limit."""

    pruner: PrunerConfig = Field(default_factory=PrunerConfig)
    """Pruning of trials."""

    round: int = Field(default=1, ge=1)
    """A search that is run again continues, and a complete one is not repeated; another number starts a new study."""

    heartbeat: int = Field(default=20, ge=1)
    """Heartbeat interval of a trial in seconds. After three missed heartbeats its process counts as dead and the trial
    is retried."""

    def configured(self, template: CandidateConfig, settings: Mapping[str, Any]) -> CandidateConfig:
        """`template` with `settings` (dotted field → value) in place.

        Raises:
            ValidationError: it has no such field, or the field cannot hold that.
        """
        raw = template.model_dump()
        for field, value in settings.items():
            *parents, last = field.split(".")
            target = raw
            for parent in parents:
                if not isinstance(target.get(parent), dict):
                    target[parent] = {}
                target = target[parent]
            target[last] = value
        return type(template).model_validate(raw)

    def check(self, candidates: Mapping[str, CandidateConfig]) -> None:
        """Raise ValueError where the searched candidate is not among `candidates`, or cannot be what `space` says."""
        template = candidates.get(self.candidate)
        if template is None:
            raise ValueError(f"search.candidate is {self.candidate!r}; there are: {', '.join(candidates)}")
        known = list(type(template).model_fields)
        for field, dimension in self.space.items():
            for value in dimension.ends:
                try:
                    self.configured(template, {field: value})
                except ValidationError as error:
                    fault = error.errors(include_url=False)[0]
                    if fault["type"] != "extra_forbidden":
                        raise ValueError(f"search.space.{field}: {fault['msg']} (got {value!r})") from None
                    near = difflib.get_close_matches(field, known, n=1, cutoff=0.5)
                    hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(known))}"
                    raise ValueError(f"search.space.{field}: unknown field; {hint}") from None

    @field_validator("space")
    @classmethod
    def _fixed_stays(cls, space: dict[str, Dimension]) -> dict[str, Dimension]:
        if fixed := {"kind", "baseline", "note"} & set(space):
            raise ValueError(f"{', '.join(sorted(fixed))} cannot be searched")
        return space


def check_phases(phases: Mapping[str, tuple[str, ...]], candidates: Mapping[str, CandidateConfig]) -> None:
    """Raise ValueError unless each of `candidates` is in exactly one of `phases`, or there are no phases."""
    if not phases:
        return
    named = [name for names in phases.values() for name in names]
    if reserved := {SEARCH_PHASE, LAST_PHASE} & set(phases):
        raise ValueError(f"phases called {', '.join(sorted(reserved))} come of the search; list other ones")
    if missing := sorted(set(candidates) - set(named)):
        raise ValueError(f"phases: {', '.join(missing)} is in none")
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise ValueError(f"phases: {', '.join(twice)} is in several")
