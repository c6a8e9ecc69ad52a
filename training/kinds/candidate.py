"""Any candidate: the union of all kinds, and training by kind."""

from __future__ import annotations

import pkgutil
import time
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Union

from pydantic import Field

from training.config.candidate import CandidateConfig
from training.kinds.registry import CandidateKind, registered_candidates

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
    trained = registered_candidates()[config.kind].train(config, splits, context)
    figures = {"training_seconds": time.perf_counter() - started, "training_texts": float(len(splits.train))}
    return replace(trained, figures=figures | trained.figures)


def candidate_kinds() -> dict[str, CandidateKind]:
    """All kinds by name, with those of every module of `training.kinds`."""
    package = import_module("training.kinds")
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")
    return registered_candidates()


def _union() -> Any:
    configs = tuple(kind.config for kind in candidate_kinds().values())
    return Annotated[Union[configs], Field(discriminator="kind")]  # noqa: UP007


if TYPE_CHECKING:
    Candidate = CandidateConfig
else:
    Candidate = _union()
"""Any candidate; its `kind` says which."""
