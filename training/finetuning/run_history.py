"""`run_history.json`: how one candidate was trained, and the metrics of the served files; signed with an HMAC.

It is written when training ends, and again with the final metrics after evaluation.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

from classifier.manifest import library_versions, machine_fingerprint
from training.config.candidate import CandidateConfig
from training.models.result import History, TrainingContext

HISTORY_FILE = "run_history.json"


def write_history(
    context: TrainingContext,
    config: CandidateConfig,
    history: History,
    final: Mapping[str, Any] | None = None,
) -> None:
    """Write `run_history.json` into the context's `records`; nothing where it has none.

    Args:
        context: whose training it was; its signing key signs.
        config: the candidate's configuration.
        history: how training went.
        final: figures of the evaluated candidate, see `final_figures`; None before it is evaluated.
    """
    if context.records is None:
        return
    document = {
        "candidate": context.name,
        "seed": context.seed,
        "config": config.model_dump(mode="json"),
        "machine": machine_fingerprint(),
        "libraries": library_versions(),
        "steps": history.steps,
        "stop_reason": history.stop_reason,
        "restarts": history.restarts,
        "resumed": history.resumed,
        "epochs": history.epochs,
        "log": history.log,
        "final": final,
    }
    document["hmac"] = signature(document, context.signing_key) if context.signing_key else None
    context.records.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    (context.records / HISTORY_FILE).write_text(text, encoding="utf-8")


def signature(document: Mapping[str, Any], key: str) -> str:
    """HMAC-SHA256 of a document, its own `hmac` aside, as 64 hexadecimal digits; as a bundle's manifest has it."""
    unsigned = {name: value for name, value in document.items() if name != "hmac"}
    message = json.dumps(unsigned, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
    return hmac.new(key.encode(), message, hashlib.sha256).hexdigest()
