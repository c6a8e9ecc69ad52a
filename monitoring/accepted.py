"""Accepted windows: live texts that join the reference of a version on a person's word.

A model's held-out texts may differ from the traffic from the first day on. A person who has looked at a window may
accept it: its texts are then part of what later windows are compared with. What joins is bounded and can be taken back:

- the acceptance is a row of the prediction store with its window, its person and its time; it holds for one version;
- the texts stay predictions of the store. They are drawn anew for each check, so retention and erasure reach them;
- all accepted windows together give at most as many texts as the reference of the bundle has, each the same share;
- predictions of the window that is judged are not part of the reference it is compared with.

A *weekly* window describes the same time of every week, such as a weekend, and is used by `monitoring.rhythm` only.
Accuracy and expected accuracy rest on the bundle's reference alone, whose labels are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from classifier.reference import STAGE
from monitoring.champion import MonitoredModel
from monitoring.errors import NotAcceptable
from monitoring.live_profile import live_profile
from monitoring.settings import MonitoringSettings
from monitoring.times import WEEK, iso
from monitoring.verdict import AcceptedTexts
from monitoring.window import each_text_once
from stores.predictions import LabelledPrediction, PredictionStore
from stores.predictions.accepted import AcceptedWindow, AcceptedWindows
from stores.predictions.tombstones import erased_texts

MOST_WINDOWS = 20
"""Accepted windows of a version at a time."""


@dataclass(frozen=True, slots=True)
class ComparedReference:
    """What a window is compared with."""

    frame: pd.DataFrame
    """The reference of the bundle, then the accepted texts; columns as in `classifier.reference`."""
    accepted: list[AcceptedTexts]
    """The windows that these came from."""
    weekly: list[tuple[float, float]]
    """Accepted weekly windows, first and last moment of each."""


def compared_reference(
    store: PredictionStore,
    champion: MonitoredModel,
    since: float,
    until: float,
    settings: MonitoringSettings,
) -> ComparedReference:
    """The reference of the champion's bundle with the accepted texts, for a window from `since` to `until`.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    windows = AcceptedWindows(store).in_force(champion.model.name, champion.model.version)
    joining = [window for window in windows if not window.weekly]
    frames, accepted = [champion.reference], []
    known = set(champion.reference["text"])
    for window in joining:
        rows = _texts(
            store, champion, window, since, until, settings, len(champion.reference) // len(joining)
        )
        rows = _not_erased(store, [row for row in rows if row.text not in known])
        known.update(row.text for row in rows)
        if rows:
            frames.append(live_profile(rows, champion.reference, with_text=True))
        accepted.append(
            AcceptedTexts(
                id=window.id,
                since=iso(window.since),
                until=iso(window.until),
                accepted_at=iso(window.accepted_at),
                accepted_by=window.accepted_by,
                texts=len(rows),
            )
        )
    frame = pd.concat(frames, ignore_index=True) if len(frames) > 1 else champion.reference
    return ComparedReference(frame, accepted, [(w.since, w.until) for w in windows if w.weekly])


def accept_window(
    store: PredictionStore,
    champion: MonitoredModel,
    since: float,
    until: float,
    settings: MonitoringSettings,
    *,
    by: str,
    weekly: bool,
    now: float,
) -> AcceptedWindow:
    """Accept the champion's predictions with `since` <= time < `until` as part of its reference.

    Args:
        store: where the predictions are.
        champion: which version answered.
        since: seconds since the epoch.
        until: seconds since the epoch, not after `now`.
        settings: which sources count, and how many texts are needed.
        by: the person.
        weekly: whether the window describes the same time of every week only.
        now: seconds since the epoch.

    Raises:
        NotAcceptable: the window is not over, is accepted already, is too long for a weekly one, or has too few texts
            of this version; the message says which.
        PredictionStoreError: the store cannot be read or written.
    """
    shown = f"{iso(since)} to {iso(until)}"
    if until > now:
        raise NotAcceptable(f"the window {shown} is not over: texts that are not seen yet cannot be accepted")
    if weekly and until - since > WEEK:
        raise NotAcceptable(f"the window {shown} is longer than a week: it is no time of the week")
    windows = AcceptedWindows(store).in_force(champion.model.name, champion.model.version)
    for window in windows:
        if window.weekly == weekly and window.since < until and since < window.until:
            raise NotAcceptable(
                f"the window {shown} overlaps window {window.id}, which {window.accepted_by} accepted: revoke that one "
                f"first, `python -m monitoring accept --revoke {window.id}`"
            )
    if len(windows) >= MOST_WINDOWS:
        raise NotAcceptable(
            f"{champion.title} has {len(windows)} accepted windows, the most there can be: revoke one"
        )
    texts = len(_sample(store, champion, since, until, settings, settings.monitoring_max_texts))
    if texts < settings.monitoring_min_texts:
        raise NotAcceptable(_too_few(store, champion, since, until, settings, texts))
    window = AcceptedWindow(
        champion.model.name, champion.model.version, since, until, weekly, texts, by, accepted_at=now
    )
    return replace(window, id=AcceptedWindows(store).add(window))


def _too_few(
    store: PredictionStore,
    champion: MonitoredModel,
    since: float,
    until: float,
    settings: MonitoringSettings,
    texts: int,
) -> str:
    """Why a window cannot be accepted that has `texts` texts."""
    name, sources = champion.model.name, settings.sources
    own = store.count(since, until, model_name=name, model_version=champion.model.version, sources=sources)
    others = store.count(since, until, model_name=name, sources=sources) - own
    why = (
        f"the window {iso(since)} to {iso(until)} has {texts} different stored texts that {champion.title} answered, "
        f"and {settings.monitoring_min_texts} are needed (MONITORING_MIN_TEXTS)"
    )
    if others:
        why += (
            f"; {others} predictions of the window are of other versions, which have references of their own"
        )
    return why


def _texts(
    store: PredictionStore,
    champion: MonitoredModel,
    window: AcceptedWindow,
    since: float,
    until: float,
    settings: MonitoringSettings,
    size: int,
) -> list[LabelledPrediction]:
    """At most `size` texts of an accepted window, without those of the window that is judged."""
    parts = [(window.since, min(window.until, since)), (max(window.since, until), window.until)]
    rows = [
        row
        for first, last in parts
        if first < last
        for row in _sample(store, champion, first, last, settings, size)
    ]
    return each_text_once(rows)[:size]


def _sample(
    store: PredictionStore,
    champion: MonitoredModel,
    since: float,
    until: float,
    settings: MonitoringSettings,
    size: int,
) -> Sequence[LabelledPrediction]:
    rows = store.sample(
        since,
        until,
        size=size,
        model_name=champion.model.name,
        model_version=champion.model.version,
        sources=settings.sources,
    )
    if STAGE in champion.reference:
        rows = [row for row in rows if row.stage is not None]
    return each_text_once(rows)


def _not_erased(store: PredictionStore, rows: list[LabelledPrediction]) -> list[LabelledPrediction]:
    """The rows whose text no erasure named; another prediction of the same text may have stayed."""
    with store.reading() as connection:
        erased = erased_texts(connection, [row.text for row in rows])
    return [row for place, row in enumerate(rows) if place not in erased]


def weeks_accepted(since: float, until: float, weekly: Sequence[tuple[float, float]]) -> list[int]:
    """How many weeks before the window `since` to `until` an accepted weekly window holds all of its time of the week.

    Args:
        since: seconds since the epoch.
        until: seconds since the epoch.
        weekly: first and last moment of each accepted window.
    """
    found = set()
    for first, last in weekly:
        back = int((since - first) // WEEK)
        if back >= 1 and until - back * WEEK <= last:
            found.add(back)
    return sorted(found, reverse=True)
