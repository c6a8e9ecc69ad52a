"""The state of a model follower, and the kinds of problems that it reports."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from classifier import BundleError, BundleUntrusted, ClassifierError
from service.inference.bundle_check import CheckFailed
from stores.errors import ModelNotRegistered, NotABundle, RegistryUnavailable, StoreError

ProblemReason = Literal[
    "registry_unavailable",
    "not_registered",
    "not_a_bundle",
    "bundle_refused",
    "untrusted",
    "check_failed",
    "labels",
    "unexpected",
]
"""Kinds of problems, for metrics."""


@dataclass(frozen=True, slots=True)
class FollowerState:
    """State of a follower, as `/model` shows it."""

    source: str
    """What is followed: `models:/news@champion`, a pinned version, or a folder."""
    last_poll: float | None = None
    """When the registry last answered; seconds since the epoch."""
    problem: str | None = None
    """Why the last poll or swap failed; None: it did not."""
    problem_at: float | None = None
    advice: str | None = None
    """The problem for clients, without addresses and paths."""
    reason: ProblemReason | None = None
    """Kind of the problem."""


def reason_of(error: Exception) -> ProblemReason:
    """The kind of problem that an error is."""
    kinds: tuple[tuple[type[Exception], ProblemReason], ...] = (
        (NotABundle, "not_a_bundle"),
        (BundleUntrusted, "untrusted"),
        (CheckFailed, "check_failed"),
        (BundleError, "bundle_refused"),
        (RegistryUnavailable, "registry_unavailable"),
        (ModelNotRegistered, "not_registered"),
        (ClassifierError, "bundle_refused"),
    )
    return next((reason for kind, reason in kinds if isinstance(error, kind)), "unexpected")


def advice_on(error: StoreError) -> str:
    """The message to clients while no model is loaded because of `error`."""
    if isinstance(error, ModelNotRegistered):
        return str(error)  # names the model and what to do
    return "the model registry does not answer; the log and /model say why"
