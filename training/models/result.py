"""Inputs and results of the training of one candidate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress

from classifier import Description
from stores.registry import ModelRegistry

EpochCallback = Callable[[float, float], None]
"""(epochs passed, macro-F1 on the validation part) → nothing; what it raises ends the training."""


def ignore_epochs(epoch: float, macro_f1: float) -> None:
    """Never stop a training run."""


@dataclass(frozen=True)
class TrainingContext:
    """Where and how one candidate is trained."""

    name: str
    """The candidate's name in its experiment."""
    bundle: Path
    """Folder for the model's files; becomes the bundle if the candidate wins."""
    scratch: Path
    """Folder for checkpoints; deleted when the run is over."""
    seed: int
    progress: Progress
    """Where the candidate shows how far it is."""
    registry: ModelRegistry | None = None
    """Where a student finds its teacher; None: by the settings."""
    siblings: Mapping[str, Path | None] = field(default_factory=dict)
    """Bundles of this run's candidates by name, one of which may be the teacher; None for a candidate that failed or is
    not evaluated yet."""
    watch: EpochCallback = ignore_epochs
    """Called after each evaluation of a candidate that is trained in epochs; a search prunes trials here."""
    records: Path | None = None
    """Folder for what is kept of the training: `run_history.json`, TensorBoard's files, weights. None: nothing is."""
    tokens: Path | None = None
    """Cache of tokenised texts, shared by candidates and runs. None: one in `scratch`."""
    resume: bool = False
    """Resume from the checkpoints of an interrupted run in `scratch`; otherwise they are removed."""
    identity: str = ""
    """`training_identity` of the candidate: what was trained under another one is not adopted."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Part of the identity: `training_inputs`."""
    fixed_epochs: bool = False
    """Whether the number of epochs is chosen already, so that the last weights are kept whatever the validation part
    says: its texts are among those that are learned."""
    signing_key: str | None = None
    """Secret for the HMAC of checkpoints and history. None leaves them unsigned."""


@dataclass(frozen=True)
class History:
    """How a training went."""

    epochs: list[dict[str, float]] = field(default_factory=list)
    """One entry an evaluation: `epoch`, `train_loss`, `validation_loss`, `accuracy`, `macro_f1`, `macro_precision`,
    `macro_recall`."""
    losses: list[tuple[float, float]] = field(default_factory=list)
    """Training loss as it fell: (epoch, mean loss of the steps up to it since the last entry)."""
    log: list[dict[str, Any]] = field(default_factory=list, compare=False)
    """Every entry of the Trainer's log: `step`, `epoch` and figures; those of an evaluation begin with `eval_`.
    It holds times, so it is left out when two histories are compared."""
    steps: int = 0
    """Optimiser steps taken."""
    stop_reason: str = ""
    """Why training ended, in words."""
    restarts: list[dict[str, Any]] = field(default_factory=list)
    """One entry for each time that memory ran out: `at_step`, `from_step`, `batch_size`, `accumulation`, `error`."""
    resumed: list[dict[str, Any]] = field(default_factory=list)
    """One entry per resumption: `step`, `at`, and the machine, where that is
    another one than made the checkpoint."""
    seconds_before: float = field(default=0.0, compare=False)
    """Seconds that it had taken when it was interrupted for the last time."""

    def figures(self) -> dict[str, float]:
        """What of it is a figure of the candidate."""
        if not self.steps:
            return {}
        return {"steps": float(self.steps), "out_of_memory_restarts": float(len(self.restarts))}


@dataclass(frozen=True)
class Trained:
    """A trained candidate, its files in the context's `bundle` folder."""

    description: Description
    """How to run those files; not calibrated yet."""
    history: History = field(default_factory=lambda: History())
    """How the training went; empty for a classical candidate."""
    figures: dict[str, float] = field(default_factory=dict)
    """Other figures of the training by name: `training_seconds`, `training_texts`, `parameters`, …"""
