"""What to do about a breach, in sentences; alerts and the report say the same."""

from __future__ import annotations

from monitoring.verdict import Verdict


def what_to_do(verdict: Verdict) -> list[str]:
    """Steps in their order; empty unless a threshold is breached."""
    if verdict.status != "breach":
        return []
    if verdict.accuracy.status == "breach":
        first = "The answers are less right than they were. If a new version is why: `python -m training rollback`."
    else:
        first = (
            "Whether the answers are still right only labels can say: send true labels of the window's predictions to "
            "`/feedback`, or let `python -m monitoring queue export FILE` choose what to label; the next check counts "
            "with them."
        )
    return [first, "With enough labels: `python -m monitoring check --on-breach retrain`."]
