"""The registry of kinds of candidates.

A kind is a subclass of `CandidateConfig`, which holds its keys, and the function that trains it, which has the
decorator `register_candidate`. Both are in any module of `training.kinds`, or in a module that is imported before
`training.experiment`. Nothing else names a kind: experiment files, their JSON schema, overrides, search and seed
comparison take all kinds from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from training.config.candidate import CandidateConfig

if TYPE_CHECKING:
    from training.data import Splits
    from training.models.result import Trained, TrainingContext

    Train = Callable[[Any, Splits, TrainingContext], Trained]

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class CandidateKind:
    """One kind of candidate."""

    config: type[CandidateConfig]
    train: Train
    """`train(config, splits, context)` trains on `splits.train`, choosing by `splits.validation`, and writes the
    model's files to `context.bundle`. It raises TrainingError where that is impossible; the message says why."""


_KINDS: dict[str, CandidateKind] = {}


def register_candidate(config: type[CandidateConfig]) -> Callable[[Function], Function]:
    """Decorator of the function that trains a kind; the kind's name is the default of the field `kind` of `config`.

    Raises:
        ValueError: the kind is registered for another class, or has no default.
    """
    kind = config.model_fields["kind"].default
    if not isinstance(kind, str):
        raise ValueError(f"{config.__qualname__}.kind needs a default, such as kind: Literal['x'] = 'x'")

    def register(train: Function) -> Function:
        known = _KINDS.setdefault(kind, CandidateKind(config, train))
        if known.config is not config:
            raise ValueError(f"the kind {kind!r} is registered for {known.config.__qualname__}")
        return train

    return register


def registered_candidates() -> dict[str, CandidateKind]:
    """The registered kinds by name."""
    return dict(_KINDS)
