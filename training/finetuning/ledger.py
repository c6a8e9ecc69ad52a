"""What befell a training on its way: kept beside its checkpoints, so that a kill does not lose it."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from classifier.manifest import machine_fingerprint
from training.candidates.config import NetworkConfig
from training.candidates.trained import History
from training.errors import OutOfMemory
from training.finetuning.checkpoints import Checkpoint
from training.finetuning.memory import smaller_batch

_FILE = "ledger.json"
logger = logging.getLogger("training.finetuning")


@dataclass(frozen=True)
class Shortage:
    """Memory ran out."""

    step: int
    """Steps taken by then."""
    error: str
    """In the words of whoever was refused."""


@dataclass
class Ledger:
    """How many texts pass through the network at once by now, and why."""

    folder: Path
    """Where it is kept."""
    batch_size: int
    restarts: list[dict[str, Any]] = field(default_factory=list)
    """See `History.restarts`."""
    resumed: list[dict[str, Any]] = field(default_factory=list)
    """See `History.resumed`."""

    @classmethod
    def open(cls, folder: Path, batch_size: int) -> Ledger:
        """The ledger kept in `folder`, or a new one that begins with so many texts at once."""
        path = folder / _FILE
        if not path.exists():
            return cls(folder, batch_size)
        return cls(folder, **json.loads(path.read_text(encoding="utf-8")))

    def resume(self, checkpoint: Checkpoint) -> None:
        """Note that training goes on after it was broken off."""
        machine = machine_fingerprint() if checkpoint.elsewhere else None
        self.resumed.append({"step": checkpoint.state.global_step, "at": _now(), "other_machine": machine})
        self._keep()
        logger.info("resumed", extra=self.resumed[-1])

    def restart(self, shortage: Shortage, checkpoint: Checkpoint | None, config: NetworkConfig) -> None:
        """Note that memory ran out, and take fewer texts at once from now on, in as many more batches a step.

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
        logger.warning("out of memory", extra=self.restarts[-1])

    def enter(self, history: History) -> History:
        """`history` with what stands here."""
        return replace(history, restarts=self.restarts, resumed=self.resumed)

    def _keep(self) -> None:
        facts = {"batch_size": self.batch_size, "restarts": self.restarts, "resumed": self.resumed}
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f"{_FILE}.part"
        part.write_text(json.dumps(facts), encoding="utf-8")
        part.replace(self.folder / _FILE)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
