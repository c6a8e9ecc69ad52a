"""What is kept of a training: `run_history.json`, TensorBoard's event files, and when asked, its weights."""

from __future__ import annotations

import hashlib
import hmac
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerFast, TrainerCallback

from classifier.manifest import library_versions, machine_fingerprint
from training.candidates.config import NetworkConfig
from training.candidates.course import CourseConfig
from training.candidates.trained import History, Workplace
from training.finetuning.checkpoints import Checkpoint

HISTORY_FILE = "run_history.json"
BOARD, MODEL, CHECKPOINTS = "tensorboard", "model", "checkpoints"
"""Folders of the records."""


def write_history(workplace: Workplace, config: NetworkConfig, history: History) -> None:
    """Write `run_history.json`: configuration, machine, every log entry, and how training came to its end; signed."""
    if workplace.records is None:
        return
    document = {
        "candidate": workplace.name,
        "seed": workplace.seed,
        "config": config.model_dump(mode="json"),
        "machine": machine_fingerprint(),
        "libraries": library_versions(),
        "steps": history.steps,
        "stop_reason": history.stop_reason,
        "restarts": history.restarts,
        "resumed": history.resumed,
        "epochs": history.epochs,
        "log": history.log,
    }
    document["hmac"] = signature(document, workplace.signing_key) if workplace.signing_key else None
    workplace.records.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    (workplace.records / HISTORY_FILE).write_text(text, encoding="utf-8")


def signature(document: Mapping[str, Any], key: str) -> str:
    """HMAC-SHA256 of a document, its own `hmac` aside, as 64 hexadecimal digits; as a bundle's manifest has it."""
    unsigned = {name: value for name, value in document.items() if name != "hmac"}
    message = json.dumps(unsigned, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()


def keep_weights(
    workplace: Workplace, network: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, checkpoints: Path
) -> None:
    """Keep the trained network, for `from_pretrained`, and its checkpoints."""
    if workplace.records is None:
        return
    model = workplace.records / MODEL
    network.save_pretrained(model)
    tokenizer.save_pretrained(model)
    for checkpoint in sorted(checkpoints.glob("checkpoint-*")):
        shutil.copytree(checkpoint, workplace.records / CHECKPOINTS / checkpoint.name, dirs_exist_ok=True)


@contextmanager
def tensorboard(
    workplace: Workplace, course: CourseConfig, checkpoint: Checkpoint | None
) -> Iterator[list[TrainerCallback]]:
    """The callback that writes TensorBoard's event files, if it is wanted; what was after `checkpoint` is hidden."""
    if workplace.records is None or not course.tensorboard:
        yield []
        return
    from torch.utils.tensorboard import SummaryWriter
    from transformers.integrations.integration_utils import TensorBoardCallback

    purged = checkpoint.state.global_step + 1 if checkpoint else 0
    writer = SummaryWriter(str(workplace.records / BOARD), purge_step=purged)
    try:
        yield [TensorBoardCallback(writer)]  # type: ignore[no-untyped-call]
    finally:
        writer.close()
