"""From what was measured to a verdict in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from monitoring.accuracy import corrected_words
from monitoring.champion import Champion
from monitoring.settings import MonitoringSettings
from monitoring.signals.comparison import OF_THE_SERVICE, share_of_threshold
from monitoring.times import iso
from monitoring.verdict import Accuracy, Drift, Signal, Status, Verdict, WatchedModel, WindowFacts
from monitoring.window import Window

_MANY_REPEATS = 0.2
_NAMED = 4
"""Signals that the summary names; the reasons name all."""


def judge(
    champion: Champion,
    window: Window,
    drift: Drift,
    accuracy: Accuracy,
    settings: MonitoringSettings,
    *,
    checked_at: float,
) -> Verdict:
    """The verdict over drift and accuracy: a breach of either is a breach; without drift judged, too little data."""
    status: Status = "breach" if "breach" in (drift.status, accuracy.status) else drift.status
    return Verdict(
        checked_at=iso(checked_at),
        status=status,
        summary=_summary(status, champion, window, drift, accuracy, settings),
        reasons=_reasons(drift, accuracy),
        notes=_notes(champion, window, accuracy),
        model=WatchedModel(
            name=champion.model.name, version=champion.model.version, alias=champion.model.alias
        ),
        window=WindowFacts(
            since=iso(window.since),
            until=iso(window.until),
            predictions=window.predictions,
            other_versions=window.other_versions,
            sampled=window.sampled,
            distinct_texts=len(window.distinct),
            repeated_texts=window.repeated,
            texts_of_reference=len(window.distinct) - len(window.novel),
        ),
        drift=drift,
        accuracy=accuracy,
        thresholds={
            name.removeprefix("monitoring_"): float(value)
            for name, value in settings.model_dump().items()
            if name.startswith(("monitoring_min_", "monitoring_max_", "monitoring_alpha"))
        },
    )


def breached(drift: Drift) -> list[Signal]:
    """Signals that breached, the most certain first."""
    found = [signal for signal in drift.signals if signal.status == "breach"]
    return sorted(found, key=lambda signal: (signal.p_value or 0.0, -_times_threshold(signal)))


def moved_of_traffic(drift: Drift) -> list[Signal]:
    """Those of them that tell of the texts, or of what the model makes of them."""
    return [signal for signal in breached(drift) if signal.name not in OF_THE_SERVICE]


def slower(drift: Drift) -> list[Signal]:
    """Those of them that tell of the service."""
    return [signal for signal in breached(drift) if signal.name in OF_THE_SERVICE]


def slow_only(drift: Drift, accuracy: Accuracy) -> bool:
    """Whether the service's latency is in breach, and nothing that a training could mend."""
    return bool(slower(drift)) and not moved_of_traffic(drift) and accuracy.status != "breach"


def headline(verdict: Verdict) -> str:
    """The verdict in a few words."""
    if verdict.status == "insufficient_data":
        return "Too little data to judge"
    found = [
        words
        for words, true in (
            ("the traffic has changed", moved_of_traffic(verdict.drift)),
            ("accuracy is too low", verdict.accuracy.status == "breach"),
            ("the service has become slower", slower(verdict.drift)),
        )
        if true
    ] or ["within thresholds"]
    sentence = ", and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)
    return sentence[:1].upper() + sentence[1:]


def _times_threshold(signal: Signal) -> float:
    return share_of_threshold(signal.value or 0.0, signal.threshold or 1.0, signal.name)


def _summary(
    status: Status,
    champion: Champion,
    window: Window,
    drift: Drift,
    accuracy: Accuracy,
    settings: MonitoringSettings,
) -> str:
    too_little = (
        f"Too little data: {len(window.distinct)} different texts were answered by {champion.title}, "
        f"{settings.monitoring_min_texts} are needed to judge drift."
    )
    if status == "insufficient_data":
        return f"{too_little} {accuracy.words}"
    judged = [
        signal
        for signal in drift.signals
        if signal.status in ("ok", "breach") and signal.name not in OF_THE_SERVICE
    ]
    moved = moved_of_traffic(drift)
    parts = [f"The service has become slower: {signal.words}." for signal in slower(drift)]
    if moved:
        names = _listed([signal.title.lower() for signal in moved], most=_NAMED)
        parts.append(
            f"The traffic of {champion.title} has changed: {names} ({len(moved)} of {len(judged)} signals)."
        )
    elif judged:
        parts.append(
            f"The traffic of {champion.title} looks like its reference: "
            f"{len(window.answers)} texts, none of {len(judged)} signals moved beyond its threshold."
        )
    elif slower(drift):
        parts.append(too_little)
    # The other failures stand among the reasons.
    parts.append(accuracy.failures[0] if accuracy.failures else accuracy.words)
    return " ".join(parts)


def _reasons(drift: Drift, accuracy: Accuracy) -> list[str]:
    reasons = [
        f"{signal.title}: {signal.words} (size {signal.value:.2f}, a breach from {signal.threshold:.2f} on; "
        f"p {_equal(chance(signal.p_adjusted))}){_since(signal)}."
        for signal in breached(drift)
    ]
    return [*reasons, *accuracy.failures]


def _equal(figure: str) -> str:
    return figure if figure.startswith("<") else f"= {figure}"


def _since(signal: Signal) -> str:
    if signal.since is None:
        return ""
    moment = f"{datetime.fromisoformat(signal.since.moment):%-d %B %Y, %H:%M} UTC"
    if signal.since.by == "change_point":
        return f", since about {moment}"
    return f", in breach since the window that begins {moment}"


def chance(p: float | None) -> str:
    """A p-value for people."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _notes(champion: Champion, window: Window, accuracy: Accuracy) -> list[str]:
    notes = [champion.note] if champion.note else []
    if window.other_versions:
        notes.append(
            f"{window.other_versions} predictions of other versions of {champion.model.name} stand in the window; "
            "only those of the watched version were looked at."
        )
    if window.ahead:
        notes.append(
            f"{window.ahead} predictions are dated in the future: the clock of a service is wrong, or this one's. "
            "No window that ends now has them."
        )
    if accuracy.mean_lag_seconds is not None and accuracy.mean_lag_seconds < 0:
        notes.append(
            "Labels are dated before the predictions that they are of: the clocks of those who write them differ, and "
            "the lag of labels means nothing."
        )
    if accuracy.failures:
        notes += corrected_words(accuracy.sampling)
    if window.sampled < window.predictions:
        notes.append(f"{window.sampled} of {window.predictions} predictions were sampled.")
    if window.redacted:
        notes.append(
            f"The texts of {len(window.redacted)} of the predictions read are gone by the retention policy; their "
            "labels and confidence count, and texts are compared without them."
        )
    if window.sampled and window.repeated / window.sampled >= _MANY_REPEATS:
        notes.append(
            f"{window.repeated / window.sampled:.0%} of the predictions repeat a text; each text was counted once."
        )
    if repeats := len(window.distinct) - len(window.novel):
        notes.append(
            f"{repeats} texts stand word for word in the reference and were left out where words are compared."
        )
    if unknown := [score.label for score in accuracy.classes if not score.known]:
        notes.append(
            f"Labels came back that the model does not know: {_listed(unknown)}. They count as wrong."
        )
    return notes


def _listed(names: Sequence[str], *, most: int | None = None) -> str:
    if most is not None and len(names) > most + 1:
        names = [*names[:most], f"{len(names) - most} more"]
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
