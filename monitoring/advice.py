"""What to do about a verdict, in sentences; alerts and the report say the same."""

from __future__ import annotations

from monitoring.judgement import moved_of_traffic, slow_only, slower
from monitoring.verdict import Verdict

_CAUSES = (
    ({"language"}, "texts in another language, or in none"),
    (
        {"text_length", "word_count", "sentence_count"},
        "a sender that cuts its texts, or sends another part of them",
    ),
    ({"capitals", "non_letters"}, "another way of writing: markup, encoding, lower case, typing"),
    ({"unseen_words", "text_content"}, "new subjects, or another source of texts"),
)
"""Signals → what often moves them."""
_ANSWERS_ONLY = "another mix of topics, which may be the news and nobody's fault"
_WHERE_THE_TIME_GOES = (
    "Find out where the time goes: `champion_stage_seconds` says how much of it is waiting in the line (more load than "
    "the service can take: more replicas, or another BATCH_TOKENS), and how much is the model (longer texts, or a "
    "machine that is shared or throttled). Training makes no service faster."
)


def what_to_do(verdict: Verdict) -> list[str]:
    """Steps in their order; none where all is within its thresholds."""
    if verdict.status == "insufficient_data":
        return ["Look further back, where there are more texts: `python -m monitoring check --window 7d`."]
    if verdict.status != "breach":
        return []
    steps = [_WHERE_THE_TIME_GOES] if slower(verdict.drift) else []
    if slow_only(verdict.drift, verdict.accuracy):
        return steps
    return [*steps, *_look_for(verdict), _ask_for_labels(verdict), _train(verdict)]


def _look_for(verdict: Verdict) -> list[str]:
    moved = {signal.name for signal in moved_of_traffic(verdict.drift)}
    if not moved:
        return []
    causes = [cause for names, cause in _CAUSES if names & moved] or [_ANSWERS_ONLY]
    return [f"Find out what changed where the texts come from. What moved often means: {'; '.join(causes)}."]


def _ask_for_labels(verdict: Verdict) -> str:
    accuracy = verdict.accuracy
    if accuracy.status == "breach":
        return (
            f"If version {verdict.model.version} is new, take it back: `python -m training rollback`. If it is not, "
            "the texts have changed, and it must learn from new ones."
        )
    if accuracy.status == "ok":
        return "By the labels that came back accuracy is within its thresholds: there is time to look first."
    return (
        "Whether the answers are still right only labels can say: send true labels of the window's predictions to "
        "`/feedback`, or let `python -m monitoring queue export FILE` choose what to label; the next check counts "
        "with them."
    )


def _train(verdict: Verdict) -> str:
    when = (
        "If this traffic is to stay"
        if verdict.accuracy.status != "breach"
        else "To learn from the labelled texts"
    )
    return f"{when}: `python -m monitoring check --on-breach retrain`; it says which conditions are missing."
