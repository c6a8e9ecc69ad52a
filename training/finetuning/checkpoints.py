"""Checkpoints with an HMAC; restarts, resumptions and out-of-memory handling; TensorBoard events and weights."""

from __future__ import annotations

import gc
import json
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from accelerate.utils.memory import should_reduce_batch_size  # type: ignore[import-untyped]
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
from training.config.finetuning import ScheduleConfig
from training.config.network import NetworkConfig
from training.errors import CheckpointRefused, OutOfMemory
from training.logs import fields
from training.models.result import History, TrainingContext

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


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that the GPU or the host has no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, Exception) and bool(
        should_reduce_batch_size(error)
        # A failed allocation inside of a GPU library says so in its own words.
        or "CUBLAS_STATUS_ALLOC_FAILED" in str(error)
    )


def smaller_batch(batch: int, effective: int) -> int | None:
    """The largest batch of at most half of `batch` that divides `effective`; None below one text.

    So a step still takes `effective` texts, in more parts.
    """
    return next((size for size in range(batch // 2, 0, -1) if effective % size == 0), None)


def release(network: PreTrainedModel) -> None:
    """Give back what a failed attempt has left."""
    network.zero_grad(set_to_none=True)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


_FILE = "journal.json"
logger = logging.getLogger("training.finetuning")


@dataclass(frozen=True)
class OutOfMemoryEvent:
    """Memory ran out."""

    step: int
    error: str
    """Error message of the failed allocation."""


@dataclass
class ResumeJournal:
    """The current batch size, with the restarts and resumptions that led to it."""

    folder: Path
    """Where it is kept."""
    batch_size: int
    restarts: list[dict[str, Any]] = field(default_factory=list)
    """See `History.restarts`."""
    resumed: list[dict[str, Any]] = field(default_factory=list)
    """See `History.resumed`."""

    @classmethod
    def open(cls, folder: Path, batch_size: int) -> ResumeJournal:
        """The journal kept in `folder`, or a new one with this batch size."""
        path = folder / _FILE
        if not path.exists():
            return cls(folder, batch_size)
        return cls(folder, **json.loads(path.read_text(encoding="utf-8")))

    def resume(self, checkpoint: Checkpoint) -> None:
        """Record a resumption."""
        machine = machine_fingerprint() if checkpoint.elsewhere else None
        self.resumed.append({"step": checkpoint.state.global_step, "at": _now(), "other_machine": machine})
        self._keep()
        logger.info("resumed", extra=_fields_of(self.resumed[-1]))

    def restart(
        self, shortage: OutOfMemoryEvent, checkpoint: Checkpoint | None, config: NetworkConfig
    ) -> None:
        """Record an out-of-memory event, and use smaller batches with more gradient accumulation.

        Raises:
            OutOfMemory: there are no fewer.
        """
        texts_a_step = config.batch_size * config.accumulation
        smaller = smaller_batch(self.batch_size, texts_a_step)
        if smaller is None:
            raise OutOfMemory(
                f"memory ran out at step {shortage.step} with a single text of at most {config.max_length} tokens: "
                f"lower max_length or layers, or take a smaller network ({shortage.error})"
            )
        self.batch_size = smaller
        self.restarts.append(
            {
                "at_step": shortage.step,
                "from_step": checkpoint.state.global_step if checkpoint else 0,
                "batch_size": smaller,
                "accumulation": texts_a_step // smaller,
                "error": shortage.error,
                "at": _now(),
            }
        )
        self._keep()
        logger.warning("out_of_memory", extra=_fields_of(self.restarts[-1]))

    def enter(self, history: History) -> History:
        """`history` with the restarts and resumptions recorded here."""
        return replace(history, restarts=self.restarts, resumed=self.resumed)

    def _keep(self) -> None:
        facts = {"batch_size": self.batch_size, "restarts": self.restarts, "resumed": self.resumed}
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"{_FILE}.part"
        part.write_text(json.dumps(facts), encoding="utf-8")
        part.replace(self.folder / _FILE)


def _fields_of(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry as fields of an event, which has its own time."""
    return fields(**{name: value for name, value in entry.items() if name != "at"})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
