"""The outcome of a training run."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from stores.registry import RegisteredModel
from training.evaluation.candidate import CandidateResult
from training.gate.decision import Decision


@dataclass
class Outcome:
    """What a run left behind."""

    run_id: str
    report: Path
    """Folder of pictures and figures."""
    evaluated: list[CandidateResult] = field(default_factory=list)
    runs: dict[str, str] = field(default_factory=dict)
    """Candidate → its MLflow run."""
    failed: dict[str, str] = field(default_factory=dict)
    """Candidate → why it failed."""
    winner: str = ""
    version: RegisteredModel | None = None
    judged_version: RegisteredModel | None = None
    """With `fit_all`, the version that the figures are of; None where it is `version` itself."""
    decision: Decision | None = None
