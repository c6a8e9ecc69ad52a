"""Checkpoints with an HMAC, and the records of a training run: TensorBoard events and weights."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_model
from transformers import (
    PreTrainedModel,
    PreTrainedTokenizerFast,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import sort_checkpoints

from classifier.errors import BundleError
from classifier.manifest import MANIFEST_FILE, machine_fingerprint, verify_manifest, write_manifest
from training.errors import CheckpointRefused
from training.finetuning.config import ScheduleConfig
from training.logs import fields
from training.models.result import TrainingContext

_STATE_FILE = "trainer_state.json"
_START_FILE = "start.pt"
logger = logging.getLogger("training.finetuning")


@dataclass(frozen=True)
class Checkpoint:
    """A sealed checkpoint that belongs to this training and was not changed."""

    folder: Path
    state: TrainerState
    elsewhere: dict[str, str] | None
    """The machine that made it, where that was another one."""
    seconds: float = 0.0
    """Seconds that training had taken when it was made, those before an interruption included."""

    @property
    def finished(self) -> bool:
        """Whether training was over when it was made: all steps are done, or something stopped it."""
        callbacks: Any = self.state.stateful_callbacks
        stopped: bool = callbacks["TrainerControl"]["args"]["should_training_stop"]
        return stopped or self.state.global_step >= self.state.max_steps

    @property
    def best(self) -> Path:
        """The checkpoint with the best weights so far."""
        assert self.state.best_global_step is not None
        return self.folder.with_name(f"checkpoint-{self.state.best_global_step}")


class Checkpoints:
    """The checkpoints of one training, in one folder."""

    def __init__(self, folder: Path, training: str, signing_key: str | None) -> None:
        self.folder = folder
        self._training, self._signing_key = training, signing_key
        self._started = time.perf_counter()
        self.seconds_before = 0.0
        """Seconds that training took before it was interrupted."""

    def clear(self) -> None:
        """Remove whatever is there."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint from which this training can go on; what cannot be used is removed.

        Raises:
            CheckpointRefused: it was changed after it was written, or signed by another key.
        """
        for folder in reversed(self._all()):
            if not (folder / MANIFEST_FILE).exists():
                logger.warning("half_checkpoint_dropped", extra=fields(checkpoint=folder.name))
                shutil.rmtree(folder)
                continue
            manifest = self._verified(folder)
            if manifest["data"].get("training") != self._training:
                self.clear()
                return None
            state = TrainerState.load_from_json(str(folder / _STATE_FILE))
            machine = manifest["machine"]
            elsewhere = machine if machine != machine_fingerprint() else None
            found = Checkpoint(folder, state, elsewhere, float(manifest["data"].get("seconds", 0.0)))
            if state.best_global_step is not None and found.best != folder:
                self._verified(found.best)
            return found
        return None

    def _verified(self, folder: Path) -> dict[str, Any]:
        try:
            return verify_manifest(folder, signing_key=self._signing_key)
        except BundleError as error:
            raise CheckpointRefused(
                f"training cannot go on from {folder}: {error}. To train from the start, run with --fresh"
            ) from None

    def seal(self, step: int) -> None:
        """Hash and sign the checkpoint of `step`, now that it is whole."""
        seconds = self.seconds_before + time.perf_counter() - self._started
        data = {"training": self._training, "step": step, "seconds": round(seconds, 3)}
        write_manifest(self.folder / f"checkpoint-{step}", data=data, signing_key=self._signing_key)

    def keep_only(self, *steps: int | None) -> None:
        """Remove every checkpoint but those of `steps`."""
        kept = {f"checkpoint-{step}" for step in steps}
        for folder in self._all():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _all(self) -> list[Path]:
        """Oldest first."""
        return [Path(path) for path in sort_checkpoints(str(self.folder))]

    # -- the way back to the start --------------------------------------------------------------------------------

    def keep_start(self, network: PreTrainedModel) -> None:
        """Keep the weights that training starts from, for an attempt that fails before its first checkpoint."""
        self.folder.mkdir(parents=True, exist_ok=True)
        torch.save(network.state_dict(), self.folder / _START_FILE)

    def to_start(self, network: PreTrainedModel) -> None:
        """Give `network` the weights that training started from."""
        weights = torch.load(self.folder / _START_FILE, map_location="cpu", weights_only=True, mmap=True)
        network.load_state_dict(weights)


class SealCheckpoints(TrainerCallback):
    """Seals each checkpoint, and then, not before, removes the ones that it replaces."""

    def __init__(self, checkpoints: Checkpoints, *, keep_all: bool) -> None:
        self._checkpoints, self._keep_all = checkpoints, keep_all

    def on_save(
        self,
        args: TrainingArguments,  # noqa: ARG002
        state: TrainerState,
        control: TrainerControl,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        """Called when all files of a checkpoint are written."""
        self._checkpoints.seal(state.global_step)
        if not self._keep_all:
            self._checkpoints.keep_only(state.global_step, state.best_global_step)


def load_weights(network: PreTrainedModel, checkpoint: Path) -> None:
    """Give `network` the weights of a checkpoint."""
    load_model(network, checkpoint / "model.safetensors")


BOARD, MODEL, CHECKPOINTS = "tensorboard", "model", "checkpoints"
"""Folders of the records."""


def keep_weights(
    context: TrainingContext, network: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, checkpoints: Path
) -> None:
    """Keep the trained network, for `from_pretrained`, and its checkpoints."""
    if context.records is None:
        return
    model = context.records / MODEL
    network.save_pretrained(model)
    tokenizer.save_pretrained(model)
    for checkpoint in sorted(checkpoints.glob("checkpoint-*")):
        shutil.copytree(checkpoint, context.records / CHECKPOINTS / checkpoint.name, dirs_exist_ok=True)


@contextmanager
def tensorboard(
    context: TrainingContext, schedule: ScheduleConfig, checkpoint: Checkpoint | None
) -> Iterator[list[TrainerCallback]]:
    """The callback that writes TensorBoard's event files, if it is wanted; what was after `checkpoint` is hidden."""
    if context.records is None or not schedule.tensorboard:
        yield []
        return
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    purged = checkpoint.state.global_step + 1 if checkpoint else 0
    writer = SummaryWriter(str(context.records / BOARD), purge_step=purged)
    try:
        yield [TensorBoardCallback(writer)]  # type: ignore[no-untyped-call]
    finally:
        writer.close()
