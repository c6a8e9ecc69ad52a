"""What is written down about a breach, for whoever reads files."""

from __future__ import annotations

import json
import logging
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
