"""What training one candidate needs, and what it leaves."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress

from classifier import Description
from stores.models import ModelRegistry

Watch = Callable[[float, float], None]
"""(epochs passed, macro-F1 on the validation part) → nothing; what it raises ends the training."""


def watch_nothing(epoch: float, macro_f1: float) -> None:
    """Let every training go on."""


@dataclass(frozen=True)
class Workplace:
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
    siblings: Mapping[str, Path] = field(default_factory=dict)
    """Bundles of the candidates that this run has trained before, by name: one of them may be the teacher."""
    watch: Watch = watch_nothing
    """Told after each evaluation of a candidate that learns in epochs; a search stops hopeless ones here."""
    records: Path | None = None
    """Folder for what is kept of the training: `run_history.json`, TensorBoard's files, weights. None: nothing is."""
    tokens: Path | None = None
    """Cache of tokenised texts, shared by candidates and runs. None: one in `scratch`."""
    resume: bool = False
    """Whether a training goes on from the checkpoints that one broken off left in `scratch`; else they are removed."""
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
    """One entry for each time that it went on after being broken off: `step`, `at`, and the machine, where that is
    another one than made the checkpoint."""

    def figures(self) -> dict[str, float]:
        """What of it is a figure of the candidate."""
        if not self.steps:
            return {}
        return {"steps": float(self.steps), "out_of_memory_restarts": float(len(self.restarts))}


@dataclass(frozen=True)
class Trained:
    """A trained candidate, its files in the workplace's `bundle` folder."""

    description: Description
    """How to run those files; not calibrated yet."""
    history: History = field(default_factory=lambda: History())
    """How the training went; empty for a classical candidate."""
    figures: dict[str, float] = field(default_factory=dict)
    """Other figures of the training by name: `parameters`, `parity_difference`, …"""
