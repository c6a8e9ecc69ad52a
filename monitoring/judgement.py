"""From what was measured to a verdict in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from monitoring.accuracy import corrected_words
from monitoring.alarm_levels import AlarmLevels
from monitoring.alarms import alarm_of
from monitoring.drift.signal import effect_floors, is_of_service, relative_change
from monitoring.settings import MonitoringSettings
from monitoring.times import iso
from monitoring.verdict import (
    Accuracy,
    Drift,
    OtherSource,
    Signal,
    Status,
    Verdict,
    WatchedModel,
    WindowFacts,
)

if TYPE_CHECKING:
    from monitoring.champion import MonitoredModel
    from monitoring.window import Window

WEEKS_NEEDED = 2
"""Earlier windows at the same time of the week, from which a rhythm can be told."""
_FALL = "Accuracy fell"
_NAMED = 4
"""Signals that the summary names; the reasons name all."""


def judge(
    champion: MonitoredModel,
    window: Window,
    drift: Drift,
    accuracy: Accuracy,
    settings: MonitoringSettings,
    *,
    checked_at: float,
    first_prediction: float | None = None,
    levels: AlarmLevels | None = None,
) -> Verdict:
    """The verdict over drift and accuracy: a breach of either is a breach; without drift judged, too little data."""
    status: Status = "breach" if "breach" in (drift.status, accuracy.status) else drift.status
    return Verdict(
        checked_at=iso(checked_at),
        status=status,
        summary=_summary(status, champion, window, drift, accuracy, settings),
        reasons=_reasons(drift, accuracy),
        notes=[
            *_notes(champion, window, drift, accuracy, first_prediction),
            *_other_sources(window, settings),
        ],
        model=WatchedModel(
            name=champion.model.name,
            version=champion.model.version,
            alias=champion.model.alias,
            registered_at=_iso(champion.model.created_at or None),
            champion_since=_iso(champion.promoted_at),
            first_prediction=_iso(first_prediction),
        ),
        window=WindowFacts(
            since=iso(window.since),
            until=iso(window.until),
            sources=list(settings.sources),
            other_sources=[OtherSource(**asdict(count)) for count in window.other_sources],
            predictions=window.predictions,
            other_versions=window.other_versions,
            sampled=window.sampled,
            distinct_texts=len(window.distinct),
            repeated_texts=window.repeated,
            texts_of_reference=len(window.distinct) - len(window.novel),
        ),
        drift=drift,
        accuracy=accuracy,
        thresholds=_thresholds(settings, accuracy),
        alarm=None if levels is None else alarm_of(drift, accuracy, levels, settings),
    )


def _thresholds(settings: MonitoringSettings, accuracy: Accuracy) -> dict[str, float]:
    """The settings that decided, with the derived floors in the place of those that are not set."""
    given = {
        name.removeprefix("monitoring_"): value
        for name, value in settings.model_dump().items()
        if name.startswith(("monitoring_min_", "monitoring_max_", "monitoring_alpha"))
    }
    for name, floor in (("min_accuracy", accuracy.accuracy_floor), ("min_macro_f1", accuracy.macro_f1_floor)):
        given[name] = floor.value if floor else given[name]
    return effect_floors() | {name: float(value) for name, value in given.items() if value is not None}


def breached_signals(drift: Drift) -> list[Signal]:
    """Signals that breached, the most certain first."""
    found = [signal for signal in drift.signals if signal.status == "breach"]
    return sorted(found, key=lambda signal: (signal.p_value or 0.0, -_times_threshold(signal)))


def breached_traffic_signals(drift: Drift) -> list[Signal]:
    """Those of them that tell of the texts, or of what the model makes of them."""
    return [signal for signal in breached_signals(drift) if not is_of_service(signal.name)]


def breached_service_signals(drift: Drift) -> list[Signal]:
    """Those of them that tell of the service."""
    return [signal for signal in breached_signals(drift) if is_of_service(signal.name)]


def latency_only(drift: Drift, accuracy: Accuracy) -> bool:
    """Whether the service's latency is in breach, and nothing that a training could mend."""
    return (
        bool(breached_service_signals(drift))
        and not breached_traffic_signals(drift)
        and accuracy.status != "breach"
    )


def accuracy_has_fallen(accuracy: Accuracy) -> bool:
    """Whether the labels prove that accuracy is lower than at registration, by however little."""
    return accuracy.fall is not None and accuracy.fall.low > 0


def headline(verdict: Verdict) -> str:
    """The verdict in a few words."""
    if verdict.status == "insufficient_data":
        return "Too little data to judge"
    found = [
        words
        for words, true in (
            ("the traffic has changed", breached_traffic_signals(verdict.drift)),
            ("accuracy is too low", verdict.accuracy.status == "breach"),
            (
                "accuracy has fallen" + (", within its thresholds" if verdict.status == "ok" else ""),
                verdict.accuracy.status == "ok" and accuracy_has_fallen(verdict.accuracy),
            ),
            ("the service has become slower", breached_service_signals(verdict.drift)),
        )
        if true
    ] or ["within thresholds"]
    sentence = ", and ".join([", ".join(found[:-1]), found[-1]] if len(found) > 1 else found)
    return sentence[:1].upper() + sentence[1:]


def _times_threshold(signal: Signal) -> float:
    return relative_change(signal.value or 0.0, signal.threshold or 1.0, signal.name)


def _summary(
    status: Status,
    champion: MonitoredModel,
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
        if signal.status in ("ok", "breach") and not is_of_service(signal.name)
    ]
    moved = breached_traffic_signals(drift)
    fall = _fall(accuracy, settings)
    parts = [
        *fall,
        *(f"The service has become slower: {signal.words}." for signal in breached_service_signals(drift)),
    ]
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
    elif breached_service_signals(drift):
        parts.append(too_little)
    # The other failures stand among the reasons.
    if accuracy.failures:
        parts += [words for words in accuracy.failures[:1] if not (fall and words.startswith(_FALL))]
    else:
        parts += corrected_words(accuracy.sampling) if fall else [accuracy.words]
    return " ".join(parts)


def _fall(accuracy: Accuracy, settings: MonitoringSettings) -> list[str]:
    """A sentence on the fall of accuracy since registration; none where the labels do not prove one."""
    if accuracy.accuracy is None or accuracy.fall is None or not accuracy_has_fallen(accuracy):
        return []
    allowed, fall = settings.monitoring_max_accuracy_fall, accuracy.fall
    words = (
        f"{_FALL} from {accuracy.reference_accuracy:.1%} at registration to {accuracy.accuracy.value:.1%} on "
        f"{accuracy.labelled} labels: by {100 * fall.value:.1f} points ({accuracy.confidence_level:.0%} interval "
        f"{100 * fall.low:.1f} to {100 * fall.high:.1f}"
    )
    if fall.low > allowed:
        return [f"{words}), more than the {100 * allowed:g} that are allowed."]
    if fall.high > allowed:
        return [f"{words}); whether by more than the {100 * allowed:g} that are allowed is not certain yet."]
    return [f"{words}), less than the {100 * allowed:g} that are allowed."]


def _reasons(drift: Drift, accuracy: Accuracy) -> list[str]:
    reasons = [
        f"{signal.title}: {signal.words} (size {signal.value:.2f}, a breach from {signal.threshold:.2f} on; "
        f"p {_equal(chance(signal.p_adjusted))}){_since(signal)}."
        for signal in breached_signals(drift)
    ]
    return [*reasons, *accuracy.failures]


def _equal(figure: str) -> str:
    return figure if figure.startswith("<") else f"= {figure}"


def _since(signal: Signal) -> str:
    if signal.since is None:
        return ""
    moment = format_moment(signal.since.moment)
    if signal.since.by in ("within_window", "change_point"):
        return f", since about {moment}"
    if signal.since.by == "first_prediction":
        return f", since the first prediction of this version ({moment})"
    if signal.since.windows == 1:
        return ", in all of this window; no earlier window of this version was checked"
    return f", in breach since the window that begins {moment}"


def format_moment(moment: str) -> str:
    """An ISO 8601 time in words."""
    return f"{datetime.fromisoformat(moment):%-d %B %Y, %H:%M} UTC"


def _iso(moment: float | None) -> str | None:
    return None if moment is None else iso(moment)


def chance(p: float | None) -> str:
    """A p-value, rounded."""
    return "–" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _notes(
    champion: MonitoredModel,
    window: Window,
    drift: Drift,
    accuracy: Accuracy,
    first_prediction: float | None,
) -> list[str]:
    notes = [champion.note] if champion.note else []
    notes += _age(champion, window, first_prediction)
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
            f"The texts of {len(window.redacted)} of the predictions read are gone by the retention policy, or were "
            "not stored (STORE_TEXT); their labels, their confidence and what was measured of them count, and texts "
            "are compared without them."
        )
    if window.cut:
        notes.append(
            f"{window.cut} texts have {window.characters:,} characters or more; what follows is not compared, here and "
            "in the reference."
        )
    if drift.repeats is not None and drift.repeats.status == "many":
        notes.append(
            f"{drift.repeats.share:.0%} of the predictions repeat a text; the most frequent one is "
            f"{drift.repeats.largest:.0%} of all (prediction {drift.repeats.largest_id}). Each text was counted once: "
            "repeats are no drift of content."
        )
    notes += _accepted(champion, drift)
    notes += _rhythm(drift)
    if repeats := len(window.distinct) - len(window.novel):
        notes.append(
            f"{repeats} texts stand word for word in the reference and were left out where words are compared."
        )
    if unknown := [score.label for score in accuracy.classes if not score.known]:
        notes.append(
            f"Labels came back that the model does not know: {_listed(unknown)}. They count as wrong."
        )
    return notes


def _accepted(champion: MonitoredModel, drift: Drift) -> list[str]:
    """A sentence on the accepted texts in the reference; none where there are none."""
    if not drift.accepted:
        return []
    windows = "; ".join(
        f"{window.since[:16]} to {window.until[:16]} UTC, {window.texts} texts, accepted by {window.accepted_by}"
        for window in drift.accepted
    )
    return [
        f"The reference holds {sum(window.texts for window in drift.accepted)} accepted live texts beside the "
        f"{len(champion.reference)} of the bundle ({windows}). `python -m monitoring accept --list` lists them."
    ]


def _rhythm(drift: Drift) -> list[str]:
    """A sentence on the time of the week; none where no signal differs from the reference."""
    usual = [signal.title.lower() for signal in drift.signals if signal.usual and signal.status == "ok"]
    if usual:
        weeks = max(len(signal.usual.windows) for signal in drift.signals if signal.usual)
        accepted = max(signal.usual.accepted for signal in drift.signals if signal.usual)
        by_people = f", {accepted} of them accepted by people" if accepted else ""
        return [
            f"Different from the reference and usual at this time of the week ({weeks} earlier "
            f"{'week' if weeks == 1 else 'weeks'}{by_people}): {_listed(usual)}."
        ]
    if drift.weeks is not None and drift.weeks < WEEKS_NEEDED:
        return [
            f"A weekly rhythm cannot be told apart from a change yet: this version has answered in {drift.weeks} "
            f"earlier windows at this time of the week, and {WEEKS_NEEDED} are needed."
        ]
    return []


def _other_sources(window: Window, settings: MonitoringSettings) -> list[str]:
    """A sentence on predictions that were not looked at because of their source; none where there are none."""
    if not window.other_sources:
        return []
    listed = []
    for found in window.other_sources:
        words = f"{found.predictions:,} of {found.source}"
        if found.labelled:
            words += f" (accuracy {found.correct / found.labelled:.1%} on {found.labelled:,} labels)"
        listed.append(words)
    return [
        f"Predictions of other sources are not counted: {_listed(listed)}. "
        f"What is counted is {_listed(settings.sources)} (TRAFFIC_SOURCES)."
    ]


def _age(champion: MonitoredModel, window: Window, first_prediction: float | None) -> list[str]:
    """A sentence on when the version came, where that was inside the window."""
    promoted = champion.promoted_at
    if max(promoted or 0.0, first_prediction or 0.0) < window.since:
        return []
    parts = [f"became champion on {format_moment(iso(promoted))}"] if promoted is not None else []
    if first_prediction is not None:
        parts.append(f"answered first on {format_moment(iso(first_prediction))}")
    return [
        f"{champion.title} {' and '.join(parts)}; the window begins on {format_moment(iso(window.since))}."
    ]


def _listed(names: Sequence[str], *, most: int | None = None) -> str:
    if most is not None and len(names) > most + 1:
        names = [*names[:most], f"{len(names) - most} more"]
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else names[0]
