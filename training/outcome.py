"""What a training run leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stores.models import RegisteredModel
from training.gate.decision import Decision
from training.judging import Judged


@dataclass
class Outcome:
    """What a run left behind."""

    run_id: str
    report: Path
    """Folder of pictures and figures."""
    judged: list[Judged] = field(default_factory=list)
    runs: dict[str, str] = field(default_factory=dict)
    """Candidate → its MLflow run."""
    failed: dict[str, str] = field(default_factory=dict)
    """Candidate → why it failed."""
    winner: str = ""
    version: RegisteredModel | None = None
    decision: Decision | None = None
