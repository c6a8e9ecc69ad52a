"""Kinds of candidates: the registry, and the training of a candidate.

A kind is a subclass of `CandidateConfig` with the decorator `register_candidate`, in any module of
`training.models.kinds`, in `training/models/config.py`, or in a module that is imported before `training.experiment`.
It holds its keys and trains itself (`CandidateConfig.train`). Nothing else names it: experiment files, their JSON
schema, overrides, search and seed comparison take all kinds from here.
"""

from __future__ import annotations

import pkgutil
import time
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Field

from training.models.config import CandidateConfig, registered_candidates

if TYPE_CHECKING:
    from training.data import Splits
    from training.models.result import Trained, TrainingContext


def train_candidate(config: Candidate, splits: Splits, context: TrainingContext) -> Trained:
    """Train a candidate on `splits.train`, choosing epochs by `splits.validation`; other parts are not looked at.

    Every kind gets the figures `training_texts`, its labelled texts, and `training_seconds`: of a network without its
    export, and with what it took before an interruption.

    Raises:
        TrainingError: weights are missing, or the exported network is not the trained one.
    """
    started = time.perf_counter()
    trained = config.train(splits, context)
    figures = {"training_seconds": time.perf_counter() - started, "training_texts": float(len(splits.train))}
    return replace(trained, figures=figures | trained.figures)


def candidate_kinds() -> dict[str, type[CandidateConfig]]:
    """All kinds by name, with those of every module of `training.models.kinds`."""
    package = import_module("training.models.kinds")
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")
    return registered_candidates()


def _union() -> Any:
    return Annotated[Union[tuple(candidate_kinds().values())], Field(discriminator="kind")]  # noqa: UP007


if TYPE_CHECKING:
    Candidate = CandidateConfig
else:
    Candidate = _union()
"""Any candidate; its `kind` says which."""
