"""Restarts and resumptions of a training run, stored next to its checkpoints; out-of-memory handling."""

from __future__ import annotations

import gc
import json
import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from accelerate.utils.memory import should_reduce_batch_size  # type: ignore[import-untyped]
from transformers import PreTrainedModel

from classifier.manifest import machine_fingerprint
from training.errors import OutOfMemory
from training.finetuning.checkpoints import Checkpoint
from training.logs import fields
from training.models.config import NetworkConfig
from training.models.result import History


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
    """Steps taken by then."""
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
