"""The experiment file: what to train, on what, and what may win. YAML, typed, with every field's meaning here.

Usage::

    experiment = load_experiment("quickstart", overrides=["candidates.minilm.epochs=1"])
"""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from training.behaviour.config import BehaviourConfig
from training.candidates.kinds import Candidate
from training.data import DataConfig
from training.error_analysis.config import AnalysisConfig
from training.errors import ExperimentInvalid
from training.experiment_faults import in_words, refuse_unknown_nulls
from training.gate.config import GateConfig
from training.search.config import LAST_PHASE, SearchConfig, check_phases
from training.smoke import SUFFIX, make_small

EXPERIMENTS = Path(__file__).with_name("experiments")
"""Folder of the experiments that come with the project."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class Experiment(BaseModel):
    """One experiment file."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

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
    closing comparison shows it. Every candidate stands in one."""

    search: SearchConfig | None = None
    """A search for a better configuration of one candidate, which comes after all candidates; what it finds is then
    trained and judged as they are."""

    baselines_may_win: bool = True
    """Whether a candidate marked `baseline` may be registered. Where it may not, it is still reported."""

    gate: GateConfig = Field(default_factory=GateConfig)
    """What a winner must show before it replaces the champion."""

    behaviour: BehaviourConfig = Field(default_factory=BehaviourConfig)
    """How much the behavioural tests of the winner try."""

    analysis: AnalysisConfig = Field(default_factory=AnalysisConfig)
    """What is looked for among the mistakes, and where texts may be shown."""

    smoke: dict[str, Any] = Field(default_factory=dict)
    """What `--smoke` sets beyond what it does to every experiment (training/smoke.py): dotted key → value."""

    replaced: dict[str, str] | None = None
    """Written by `--smoke`, not by hand: what stands in for what. An experiment that has it is a smoke run, and
    registers its winner under a name of its own."""

    @property
    def is_smoke(self) -> bool:
        """Whether this is an experiment's smoke size."""
        return self.replaced is not None

    def registered_name(self, default: str) -> str:
        """Name under which the winner is registered; `default`: the setting MODEL_NAME.

        A smoke run has a name of its own: it must not meet the real champion.
        """
        return (self.model_name or default) + (SUFFIX if self.is_smoke else "")

    def smoke_tags(self) -> dict[str, str]:
        """What a run and its version are tagged with; empty for a real one."""
        if self.replaced is None:
            return {}
        said = "; ".join(f"{key}: {what}" for key, what in self.replaced.items())
        return {"smoke": "true", "smoke_replaced": said or "nothing; its size is reduced"}

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
        for name in candidates:
            if not _NAME.fullmatch(name):  # it names files
                raise ValueError(f"name a candidate with letters, digits, '_' and '-', not {name!r}")
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

    def with_found(self, candidates: dict[str, Candidate]) -> Experiment:
        """The experiment with the candidates that its search found."""
        return self.model_copy(update={"candidates": {**self.candidates, **candidates}})

    def may_win(self, name: str) -> bool:
        """Whether the candidate called `name` may be registered."""
        return self.baselines_may_win or not self.candidates[name].baseline

    def as_yaml(self) -> str:
        """The resolved experiment, every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def experiment_files() -> list[Path]:
    """The experiments that come with the project, by name."""
    return sorted(EXPERIMENTS.glob("*.yaml"))


def load_experiment(name_or_path: str, overrides: Sequence[str] = (), *, smoke: bool = False) -> Experiment:
    """Read an experiment.

    Args:
        name_or_path: a name in `training/experiments/`, or the path of a YAML file.
        overrides: `key=value` each, the key dotted, the value YAML: `candidates.minilm.epochs=1`.
        smoke: its smoke size (training/smoke.py); overrides are applied on top.

    Raises:
        ExperimentInvalid: no such file, not YAML, an unknown key, or a value that cannot be; names it.
    """
    path = _find(name_or_path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ExperimentInvalid(f"{path} is not YAML: {error}") from None
    if not isinstance(raw, dict):
        raise ExperimentInvalid(f"{path} must hold keys and values, such as `name: quickstart`")
    raw.setdefault("name", path.stem)
    changes = [_parsed(override) for override in overrides]
    refuse_unknown_nulls(raw, changes)
    _apply(raw, changes)
    if smoke:
        keys = [key for key, _ in changes]
        make_small(raw, lambda key: any(key == known or key.startswith(f"{known}.") for known in keys))
        _apply(raw, list((raw.get("smoke") or {}).items()))
        _apply(raw, changes)
    try:
        return Experiment.model_validate(raw)
    except ValidationError as error:
        raise ExperimentInvalid(f"{path}: {in_words(error, raw, Experiment.model_json_schema())}") from None


def _find(name_or_path: str) -> Path:
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        return path
    names = {file.stem: file for file in experiment_files()}
    if name_or_path in names:
        return names[name_or_path]
    near = difflib.get_close_matches(name_or_path, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
    raise ExperimentInvalid(f"no experiment {name_or_path!r}: {hint} (or give the path of a YAML file)")


def _parsed(override: str) -> tuple[str, Any]:
    """`a.b=c` as the key `a.b` and the value that YAML reads in `c`."""
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise ExperimentInvalid(f"--set {override!r} is not key=value, such as candidates.minilm.epochs=1")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ExperimentInvalid(f"--set {override!r}: the value is not YAML: {error}") from None


def _apply(raw: dict[str, Any], changes: Sequence[tuple[str, Any]]) -> None:
    """Put each value at its dotted key, making sections on the way."""
    for key, value in changes:
        *parents, last = key.split(".")
        target = raw
        for parent in parents:
            if target.get(parent) is None:
                target[parent] = {}
            target = target[parent]
            if not isinstance(target, dict):
                raise ExperimentInvalid(f"{key!r} cannot be set: {parent!r} holds a value, not further keys")
        target[last] = copy.deepcopy(value)
