"""What to do about a verdict, in sentences; alerts and the report say the same."""

from __future__ import annotations

from monitoring.drift.signal import signals
from monitoring.judgement import (
    accuracy_has_fallen,
    breached_service_signals,
    breached_traffic_signals,
    latency_only,
)
from monitoring.verdict import Verdict

_PART = 0.5
"""Share of changed texts from which all of the traffic is taken to have changed."""
_ANSWERS_ONLY = "another mix of topics"
_LABEL_MORE = (
    "Accuracy has fallen, perhaps by more than the {limit} points that are allowed: label more texts now "
    "(`python -m monitoring queue export FILE` chooses them), so that the next check can tell."
)
_WHERE_THE_TIME_GOES = (
    "Find out where the time goes: `champion_stage_seconds` says how much of it is waiting in the line (more load than "
    "the service can take: more replicas, or another BATCH_TOKENS), and how much is the model (longer texts, or a "
    "machine that is shared or throttled). Training makes no service faster."
)


def advice_for(verdict: Verdict) -> list[str]:
    """Steps in their order; none where all is within its thresholds."""
    if verdict.status == "insufficient_data":
        return ["Look further back, where there are more texts: `python -m monitoring check --window 7d`."]
    if verdict.status != "breach":
        return [_LABEL_MORE.format(limit=_limit(verdict))] if _may_exceed(verdict) else []
    steps = [_WHERE_THE_TIME_GOES] if breached_service_signals(verdict.drift) else []
    if latency_only(verdict.drift, verdict.accuracy):
        return steps
    return [*steps, *_look_for(verdict), _ask_for_labels(verdict), _train(verdict)]


def _look_for(verdict: Verdict) -> list[str]:
    part = verdict.drift.changed_part
    if part is not None and part.share < _PART:
        return [
            f"About {part.share:.0%} of the texts are new, and the others are as before: look for a sender or a "
            "subject that came in. `drift.changed_part.ids` in verdict.json names the most typical predictions."
        ]
    moved = [
        kind
        for name, kind in signals().items()
        if name in {s.name for s in breached_traffic_signals(verdict.drift)}
    ]
    if not moved:
        return []
    causes = list(dict.fromkeys(signal.possible_cause for signal in moved if signal.possible_cause)) or [
        _ANSWERS_ONLY
    ]
    return [f"Find out what changed where the texts come from. What moved often means: {'; '.join(causes)}."]


def _ask_for_labels(verdict: Verdict) -> str:
    accuracy = verdict.accuracy
    if accuracy.status == "breach":
        return (
            f"If version {verdict.model.version} is new, take it back: `python -m training rollback`. If it is not, "
            "the texts have changed, and it must learn from new ones."
        )
    if _may_exceed(verdict):
        return _LABEL_MORE.format(limit=_limit(verdict))
    if accuracy.status == "ok" and accuracy_has_fallen(accuracy):
        return f"Accuracy has fallen, by less than the {_limit(verdict)} points that are allowed."
    if accuracy.status == "ok":
        return "By the labels that came back accuracy is within its thresholds: there is time to look first."
    return (
        "Whether the answers are still right only labels can say: send true labels of the window's predictions to "
        "`/feedback`, or let `python -m monitoring queue export FILE` choose what to label; the next check counts "
        "with them."
    )


def _may_exceed(verdict: Verdict) -> bool:
    """Whether accuracy has surely fallen, and perhaps by more than is allowed."""
    fall = verdict.accuracy.fall
    return (
        verdict.accuracy.status == "ok"
        and fall is not None
        and accuracy_has_fallen(verdict.accuracy)
        and fall.high > verdict.thresholds.get("max_accuracy_fall", 0.0)
    )


def _limit(verdict: Verdict) -> str:
    return f"{100 * verdict.thresholds.get('max_accuracy_fall', 0.0):g}"


def _train(verdict: Verdict) -> str:
    when = (
        "If this traffic is to stay"
        if verdict.accuracy.status != "breach"
        else "To learn from the labelled texts"
    )
    return f"{when}: `python -m monitoring check --on-breach retrain`; it says which conditions are missing."
