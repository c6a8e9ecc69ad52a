"""The rhythm of the week: is a window that differs from the reference like the same days of earlier weeks?

A weekend with another mix of subjects is in breach of the reference every week. So a signal in breach is held, by the
same test, against a second reference: the predictions of the same version at the same time of the week, of its first
weeks. It stays a breach if the window differs from that, too. What joins that reference is bounded, so that drift is
not learned:

- only weeks in which the signal returned to its thresholds afterwards: of the checks before the same time of the next
  week, more than half found it so. A breach that lasts joins none;
- only where the predictions of these windows differ from those of the middle of the week after each, which is what a
  rhythm is; a slow drift moves all days alike;
- the first such weeks of the version, not the last ones, so that the reference does not follow a drift.

Weekly windows that a person accepted (`monitoring.accepted`) join it without these conditions, from the first one on.

Where no rhythm is proven the breach stays, but an alarm at once must be one against both references. Windows within
thresholds are never held against it: it takes breaches away and adds none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from monitoring.accepted import weeks_accepted
from monitoring.alarm_levels import AlarmLevels
from monitoring.drift.compute import drift_status, measure_drift
from monitoring.drift.signal import is_of_service
from monitoring.judgement import WEEKS_NEEDED
from monitoring.live_profile import live_profile
from monitoring.settings import MonitoringSettings
from monitoring.times import WEEK, iso
from monitoring.verdict import Drift, Signal, Usual
from monitoring.window import Window, each_text_once
from stores.predictions import LabelledPrediction
from stores.predictions.checks import Check

_MOST = 4
"""Of them that are read: the first ones of the version."""
_LONGEST = 2 * 86400.0
"""Seconds: longer windows hold too much of a week to be compared with the rest of it."""
_MIDDLE = 3 * 86400.0
"""Seconds in the middle of a week, which are compared with its ends: with more of it, the rest of a weekend joins."""
_DIFFERENT = 0.1
"""Level at which earlier windows differ from the middle of their weeks. Lenient, so that the edges of a weekend count:
whether the window is like them is decided by a stricter test."""
_EVIDENCE = ("none", "if_repeated", "at_once")

Read = Callable[[float, float, int], list[LabelledPrediction]]
"""(first moment, last moment, limit) → at most `limit` predictions of the version, each text once."""


@dataclass(frozen=True, slots=True)
class History:
    """What is known of the version from before the window."""

    read: Read
    first_prediction: float | None
    """Seconds since the epoch."""
    checks: Callable[[], Sequence[Check]]
    """All checks of the version; called only where a signal is in breach and enough weeks are there."""
    accepted: Sequence[tuple[float, float]] = ()
    """Weekly windows that people accepted, first and last moment of each."""


def judge_rhythm(
    drift: Drift,
    window: Window,
    reference: pd.DataFrame,
    history: History,
    settings: MonitoringSettings,
    rng: np.random.Generator,
    levels: AlarmLevels,
) -> Drift:
    """`drift` without the breaches that are usual at this time of the week.

    Args:
        drift: of the window, against the reference of the bundle.
        window: what was compared.
        reference: columns as in `classifier.reference`.
        history: of the version.
        settings: sizes and alpha.
        rng: of the permutations.
        levels: of an alarm.
    """
    names = [
        signal.name
        for signal in drift.signals
        if signal.status == "breach" and not is_of_service(signal.name)
    ]
    if not names or window.until - window.since > _LONGEST:
        return drift
    weeks = _weeks(window, history.first_prediction)
    accepted = weeks_accepted(window.since, window.until, history.accepted)[:_MOST]
    drift = drift.model_copy(update={"weeks": len(weeks)})
    if len(weeks) < WEEKS_NEEDED and not accepted:
        return drift
    checks = history.checks()
    joined: dict[tuple[int, ...], list[str]] = {}
    for name in names:
        learned = [back for back in weeks if back not in accepted and _returned(name, window, back, checks)]
        returned = tuple(sorted([*accepted, *learned[: _MOST - len(accepted)]], reverse=True))
        if accepted or len(returned) >= WEEKS_NEEDED:
            joined.setdefault(returned, []).append(name)
    found: dict[str, Signal] = {}
    rhythmic: set[str] = set()
    for returned, of_weeks in joined.items():
        usual = _Weeks(returned, window, reference, history.read, settings, accepted=len(accepted))
        # What a person accepted needs no proof.
        rhythmic |= set(of_weeks if accepted else usual.differing_from_middle(of_weeks, rng))
        found |= {signal.name: signal for signal in usual.held_against(window, of_weeks, rng, levels)}
    return _without_usual(drift, found, rhythmic)


def _weeks(window: Window, first: float | None) -> list[int]:
    """How many weeks back the windows at the same time of the week lie, the oldest first; all that the version has."""
    if first is None:
        return []
    return list(range(max(0, int((window.since - first) // WEEK)), 0, -1))


def _returned(name: str, window: Window, back: int, checks: Sequence[Check]) -> bool:
    """Whether the signal was within thresholds for most of the days between that week's window and the next one's."""
    first, last = window.until - back * WEEK, window.since - (back - 1) * WEEK
    found = [
        check.signals[name]
        for check in checks
        if first <= check.since and check.until <= last and name in check.signals
    ]
    judged = [signal for signal in found if signal["status"] in ("ok", "breach")]
    within = [signal for signal in judged if signal["status"] == "ok" and not signal.get("usual")]
    return 2 * len(within) > len(judged)


class _Weeks:
    """The predictions of earlier weeks, at the time of the window and half a week later.

    Args:
        back: how many weeks back each of them lies.
        window: the one that is judged.
        reference: of the bundle; its columns are those of the frames.
        read: reads predictions.
        settings: sizes and alpha.
        accepted: how many of the weeks a person accepted.
    """

    def __init__(
        self,
        back: Sequence[int],
        window: Window,
        reference: pd.DataFrame,
        read: Read,
        settings: MonitoringSettings,
        *,
        accepted: int = 0,
    ) -> None:
        each = settings.monitoring_max_texts // len(back)
        since, until = window.since, window.until
        self._begins = [since - weeks * WEEK for weeks in back]
        self._settings = settings
        self._accepted = accepted
        self._rows = each_text_once(
            row for weeks in back for row in read(since - weeks * WEEK, until - weeks * WEEK, each)
        )
        others = each_text_once(row for weeks in back for row in read(*_middle(since, until, weeks), each))
        # Where the window's texts are kept, those of predictions that have none cannot be compared with them.
        with_text = bool(window.distinct)
        self._usual = live_profile(self._rows, reference, with_text=with_text)
        self._others = live_profile(others, reference, with_text=with_text)

    def differing_from_middle(self, names: Sequence[str], rng: np.random.Generator) -> list[str]:
        """The signals by which these windows differ from the middle of the weeks after them."""
        if len(self._others) < self._settings.monitoring_min_texts:
            return []
        redacted = [row for row in self._rows if row.redacted_at is not None]
        kept = [row for row in self._rows if row.redacted_at is None]
        count = len(self._rows)
        pooled = Window(self._begins[0], self._begins[-1], count, 0, count, kept, kept, [], redacted=redacted)
        drift, _ = measure_drift(self._others, pooled, self._settings, rng, only=names)
        return [s.name for s in drift.signals if s.p_value is not None and s.p_value <= _DIFFERENT]

    def held_against(
        self, window: Window, names: Sequence[str], rng: np.random.Generator, levels: AlarmLevels
    ) -> list[Signal]:
        """The signals of the window with these windows as their reference, as far as they can be judged."""
        if len(self._usual) < self._settings.monitoring_min_texts:
            return []
        drift, _ = measure_drift(self._usual, window, self._settings, rng, levels=levels, only=names)
        return [
            signal.model_copy(update={"usual": self._described(signal)})
            for signal in drift.signals
            if signal.status in ("ok", "breach")
        ]

    def _described(self, signal: Signal) -> Usual:
        assert signal.value is not None
        assert signal.threshold is not None
        return Usual(
            windows=[iso(begin) for begin in self._begins],
            accepted=self._accepted,
            texts=signal.reference_texts,
            value=signal.value,
            threshold=signal.threshold,
        )


def _middle(since: float, until: float, weeks: int) -> tuple[float, float]:
    """The days in the middle between the window `weeks` weeks earlier and the same time one week after it."""
    centre = (since + until) / 2 - (weeks - 0.5) * WEEK
    return centre - _MIDDLE / 2, centre + _MIDDLE / 2


def _without_usual(drift: Drift, found: Mapping[str, Signal], rhythmic: Collection[str]) -> Drift:
    """`drift` where rhythmic signals are in breach only if they are against both references.

    The edges of a weekend are too short to prove a rhythm. So a signal for which none is proven keeps its breach, and
    is an alarm at once only if it would be one against both references.
    """
    signals = []
    for signal in drift.signals:
        held = found.get(signal.name)
        if held is not None:
            evidence, usual = held.evidence or "none", {"status": held.status, "usual": held.usual}
            if signal.name not in rhythmic:
                evidence, usual = max(evidence, "if_repeated", key=_EVIDENCE.index), {}
            evidence = min(signal.evidence or "none", evidence, key=_EVIDENCE.index)
            signal = signal.model_copy(update={"evidence": evidence, **usual})
        signals.append(signal)
    part = drift.changed_part
    if part is not None and not any(s.name == "new_matter" and s.status == "breach" for s in signals):
        part = None
    return drift.model_copy(
        update={"signals": signals, "status": drift_status(signals), "changed_part": part}
    )
