"""The `Experiment` model: every top-level key of an experiment file, with its meaning."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml
from pydantic import (
    Field,
    PrivateAttr,
    ValidationInfo,
    field_validator,
)

from stores.errors import NameRefused
from stores.names import check_model_name, experiment_name_fault
from training.config import ConfigModel
from training.config.evaluation import AnalysisConfig, BehaviourConfig, GateConfig
from training.config.search import LAST_PHASE, SearchConfig, check_phases
from training.data import DataConfig
from training.errors import ExperimentInvalid
from training.experiment.smoke import SUFFIX
from training.kinds.candidate import Candidate

_NAME_LENGTH = 60
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9_-]{{0,{_NAME_LENGTH - 1}}}")
_RESERVED = ("compared", "data", "search", "training")
"""Folders of a run's report beside those of its candidates."""


class Experiment(ConfigModel):
    """One experiment file."""

    name: str
    """Name of the experiment; MLflow keeps its runs under it."""

    description: str = ""
    """One or two sentences for `python -m training list`."""

    model_name: str | None = None
    """Name under which the winner is registered. Unset: the setting MODEL_NAME."""

    seed: int = Field(default=42, ge=0)
    """Fixes the split, the initial weights, the order of texts and every resampling."""

    data: DataConfig = Field(default_factory=DataConfig)
    """Which texts, and how they are split."""

    candidates: dict[str, Candidate] = Field(min_length=1)
    """What is trained and compared, by name. A candidate set to null is left out."""

    phases: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Phase → its candidates, for an experiment that goes step by step; each run is tagged with its phase, and the
    closing comparison shows it. Every candidate is in one."""

    search: SearchConfig | None = None
    """A search for a better configuration of one candidate, which comes after all candidates; what it finds is then
    trained and evaluated as they are."""

    baselines_may_win: bool = True
    """Whether a candidate marked `baseline` may be registered. Where it may not, it is still reported."""

    fit_all: bool = False
    """Whether the winner is trained again on all labelled texts (train, validation and test) after evaluation; that
    model is registered for serving. Its metrics remain those of the evaluated model, registered beside it."""

    gate: GateConfig = Field(default_factory=GateConfig)
    """Conditions under which the winner replaces the champion."""

    behaviour: BehaviourConfig = Field(default_factory=BehaviourConfig)
    """How much the behavioural tests of the winner try."""

    analysis: AnalysisConfig = Field(default_factory=AnalysisConfig)
    """What is looked for among the mistakes, and where texts may be shown."""

    smoke: dict[str, Any] = Field(default_factory=dict)
    """Further keys that `--smoke` sets for this experiment (training/experiment/smoke.py): dotted key → value."""

    replaced: dict[str, str] | None = None
    """Written by `--smoke`, not by hand: the replaced values. An experiment that has it is a smoke run, and registers
    its winner under a separate name."""

    _without_once: Experiment | None = PrivateAttr(default=None)

    @property
    def without_once(self) -> Experiment:
        """The experiment without what was set for this run only (`--once`)."""
        return self._without_once or self

    @property
    def is_smoke(self) -> bool:
        """Whether this is an experiment's smoke size."""
        return self.replaced is not None

    def registered_name(self, default: str) -> str:
        """Name under which the winner is registered; `default`: the setting MODEL_NAME.

        A smoke run has a separate name, so that it never replaces the real champion.
        """
        name = self.model_name or default
        return name + SUFFIX if self.is_smoke and not name.endswith(SUFFIX) else name

    def smoke_tags(self) -> dict[str, str]:
        """What a run and its version are tagged with; empty for a real one."""
        if self.replaced is None:
            return {}
        said = "; ".join(f"{key}: {what}" for key, what in self.replaced.items())
        return {"smoke": "true", "smoke_replaced": said or "nothing; its size is reduced"}

    @field_validator("name")
    @classmethod
    def _nameable(cls, name: str) -> str:
        if fault := experiment_name_fault(name):
            raise ValueError(fault)
        return name

    @field_validator("model_name")
    @classmethod
    def _registrable(cls, model_name: str | None) -> str | None:
        if model_name is not None:
            try:
                check_model_name(model_name)
            except NameRefused as error:
                raise ValueError(str(error)) from None
        return model_name

    @field_validator("data")
    @classmethod
    def _live_texts_of_its_own_model(cls, data: DataConfig, info: ValidationInfo) -> DataConfig:
        if data.live is None or data.live.model_name or not info.data.get("model_name"):
            return data
        live = data.live.model_copy(update={"model_name": info.data["model_name"]})
        return data.model_copy(update={"live": live})

    @field_validator("candidates", mode="before")
    @classmethod
    def _without_null(cls, candidates: Any) -> Any:
        if isinstance(candidates, dict):
            return {name: value for name, value in candidates.items() if value is not None}
        return candidates

    @field_validator("candidates")
    @classmethod
    def _plain_names(cls, candidates: dict[str, Candidate]) -> dict[str, Candidate]:
        names = list(candidates)
        for place, name in enumerate(names):
            if not _NAME.fullmatch(name):  # it names files
                raise ValueError(
                    f"name a candidate with letters, digits, '_' and '-', {_NAME_LENGTH} at most, not {name[:80]!r}"
                )
            if name.lower() in _RESERVED:
                raise ValueError(
                    f"a candidate cannot be called {name!r}: a run's report has a folder of this name"
                )
            # Some file systems ignore case.
            twin = next((other for other in names[:place] if other.lower() == name.lower()), None)
            if twin:
                raise ValueError(f"the candidates {twin!r} and {name!r} differ only by case")
        return candidates

    @field_validator("phases")
    @classmethod
    def _each_in_one_phase(
        cls, phases: dict[str, tuple[str, ...]], info: ValidationInfo
    ) -> dict[str, tuple[str, ...]]:
        if "candidates" in info.data:
            check_phases(phases, info.data["candidates"])
        return phases

    @field_validator("search")
    @classmethod
    def _searchable(cls, search: SearchConfig | None, info: ValidationInfo) -> SearchConfig | None:
        if search is not None and "candidates" in info.data:
            search.check(info.data["candidates"])
        return search

    def phase_of(self, name: str) -> str | None:
        """The phase of a candidate; of what a search found, the last one; None in an experiment without phases."""
        listed = next((phase for phase, names in self.phases.items() if name in names), None)
        return listed or (LAST_PHASE if self.search else None)

    def with_candidates(self, candidates: Mapping[str, Candidate]) -> Experiment:
        """The experiment with further candidates, or others under the same names."""
        return self.model_copy(update={"candidates": {**self.candidates, **candidates}})

    def may_win(self, name: str) -> bool:
        """Whether the candidate called `name` may be registered."""
        return self.baselines_may_win or not self.candidates[name].baseline

    def check_winnable(self) -> None:
        """Raise ExperimentInvalid where no candidate may be registered: a run would train them all for nothing."""
        if not any(map(self.may_win, self.candidates)):
            raise ExperimentInvalid(
                f"no candidate of {self.name} may win: {', '.join(self.candidates)} "
                f"{'is a baseline' if len(self.candidates) == 1 else 'are baselines'}, and baselines_may_win is false. "
                "Add a candidate that is none, or set baselines_may_win=true"
            )

    def as_yaml(self) -> str:
        """The resolved experiment, every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
