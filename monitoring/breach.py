"""What is done about a breach: say so, or train again. The next room is reached by its command, not by import."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

from monitoring.settings import MonitoringSettings
from monitoring.verdict import Verdict

logger = logging.getLogger("monitoring")

ALERTS_FILE = "alerts.jsonl"


def alert(verdict: Verdict, report: Path, settings: MonitoringSettings) -> Path:
    """Append the breach to `var/monitoring/alerts.jsonl`, one JSON object a line, and log it; returns the file."""
    line = {
        "at": verdict.checked_at,
        "model": f"{verdict.model.name}/{verdict.model.version}",
        "summary": verdict.summary,
        "reasons": verdict.reasons,
        "report": str(report),
    }
    path = settings.folder("monitoring") / ALERTS_FILE
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
    logger.warning("threshold_breached", extra={"fields": line})
    return path


def retrain(settings: MonitoringSettings) -> int:
    """Run `python -m training run` with the experiment of the settings; returns its exit status.

    Its gate decides whether what it trained is promoted; the running service then swaps by itself.
    """
    command = [sys.executable, "-m", "training", "run", settings.monitoring_experiment]
    logger.warning("retraining", extra={"fields": {"command": " ".join(command[1:])}})
    environment = {**os.environ, "VAR_DIR": str(settings.root)}
    # Standard output belongs to the check, which may be writing JSON there.
    status = subprocess.run(command, env=environment, stdout=sys.stderr).returncode
    logger.log(
        logging.INFO if status == 0 else logging.ERROR, "retrained", extra={"fields": {"status": status}}
    )
    return status
