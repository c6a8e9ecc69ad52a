"""Live texts that a person accepted join what later windows are compared with, and nothing else does."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from monitoring.accepted import MOST_WINDOWS, accept_window, compared_reference, weeks_accepted
from monitoring.champion import MonitoredModel, find_champion
from monitoring.errors import NotAcceptable
from monitoring.settings import MonitoringSettings
from monitoring.times import WEEK
from monitoring.verdict import Verdict
from stores.predictions.accepted import AcceptedWindow, AcceptedWindows
from stores.predictions.erasure import erase_predictions
from stores.settings import SigningSettings
from tests.monitoring.conftest import NOW, WINDOW, House, normal
from tests.support.bundles import bbc_part

DAY = 86400.0
BEFORE = (NOW - DAY, NOW - DAY + 3600)
"""A window of the day before."""


@pytest.fixture
def champion(house: House) -> MonitoredModel:
    return find_champion(house.registry, house.tracking, SigningSettings())


def accept(
    house: House, since: float, until: float, *, weekly: bool = False, now: float = NOW, **settings: object
) -> AcceptedWindow:
    return accept_window(
        house.store,
        find_champion(house.registry, house.tracking, SigningSettings()),
        since,
        until,
        MonitoringSettings(var_dir=house.var, **settings),  # type: ignore[arg-type]
        by="ana",
        weekly=weekly,
        now=now,
    )


def sport_and_others(count: int) -> tuple[Sequence[str], Sequence[str]]:
    """Two samples of unseen articles with the same mix, three quarters of sport."""
    found = {text: label for part in (2, 3, 4) for text, label in zip(*bbc_part(part), strict=True)}
    sport = random.Random(1).sample(
        [text for text, label in found.items() if label == "sports"], 3 * count // 2
    )
    others = random.Random(2).sample([text for text, label in found.items() if label != "sports"], count // 2)
    halves = [sport[half::2] + others[half::2] for half in (0, 1)]
    return halves[0], halves[1]


def new_texts(champion: MonitoredModel, count: int) -> list[str]:
    """Articles that are not in the reference either; some of the champion's own repeat one another."""
    known = set(champion.reference["text"])
    return [text for text in normal(count + 40)[0] if text not in known][:count]


def statuses(verdict: Verdict) -> dict[str, str]:
    return {signal.name: signal.status for signal in verdict.drift.signals}


def test_accepted_texts_are_a_reference_until_revoked(house: House, champion: MonitoredModel) -> None:
    accepted, now = sport_and_others(120)
    joining = len(set(accepted) - set(champion.reference["text"]))
    house.answer(accepted, at=BEFORE[0] + 60)
    house.answer(now)
    before = house.verdict()
    assert statuses(before)["predicted_label"] == "breach"
    assert before.drift.accepted == []

    window = accept(house, *BEFORE)
    after = house.verdict()
    (found,) = after.drift.accepted
    assert (found.id, found.accepted_by, found.texts) == (window.id, "ana", joining)
    measured = {signal.name: signal for signal in after.drift.signals}
    unextended = {signal.name: signal for signal in before.drift.signals}
    assert measured["confidence"].reference_texts == unextended["confidence"].reference_texts + joining
    changes = [signals["predicted_label"].value for signals in (measured, unextended)]
    assert changes[0] is not None
    assert changes[1] is not None
    assert changes[0] < changes[1]
    assert any(f"holds {joining} accepted live texts" in note and "ana" in note for note in after.notes)
    assert after.accuracy.reference_accuracy == before.accuracy.reference_accuracy
    assert after.accuracy.expected is not None
    assert before.accuracy.expected is not None
    assert after.accuracy.expected.mean_confidence == before.accuracy.expected.mean_confidence

    assert AcceptedWindows(house.store).revoke(window.id, house.champion.name, by="ben", at=NOW)
    assert house.verdict().drift.signals == before.drift.signals


def test_a_weekly_window_is_usual_at_its_time_of_the_week_only(house: House) -> None:
    accepted, now = sport_and_others(160)
    house.answer(accepted, at=NOW - WEEK - 60)
    house.answer(now)
    assert statuses(house.verdict())["predicted_label"] == "breach"
    accept(house, WINDOW[0] - WEEK, WINDOW[1] - WEEK, weekly=True)
    verdict = house.verdict()
    found = next(signal for signal in verdict.drift.signals if signal.name == "predicted_label")
    assert found.status == "ok"
    assert found.usual is not None
    assert (len(found.usual.windows), found.usual.accepted) == (1, 1)
    assert verdict.drift.accepted == [], "the reference is that of the bundle"
    assert any("1 earlier week, 1 of them accepted by people" in note for note in verdict.notes)


def test_a_weekly_window_of_another_time_changes_nothing(house: House) -> None:
    accepted, now = sport_and_others(160)
    house.answer(accepted, at=NOW - WEEK - DAY - 60)
    house.answer(now)
    accept(house, WINDOW[0] - WEEK - DAY, WINDOW[1] - WEEK - DAY, weekly=True)
    assert statuses(house.verdict())["predicted_label"] == "breach"


@pytest.mark.parametrize(
    ("window", "found"),
    [
        ((WEEK, WEEK + 10), [1]),
        ((3 * WEEK + 5, 3 * WEEK + 20), [3]),
        ((WEEK + 15, WEEK + 25), []),  # ends after it
        ((WEEK - 5, WEEK + 5), []),  # begins before it
        ((5, 15), []),  # the accepted window itself
    ],
)
def test_all_of_a_window_must_lie_at_the_accepted_time(window: tuple[float, float], found: list[int]) -> None:
    assert weeks_accepted(*window, [(0.0, 20.0)]) == found


def test_accepted_texts_are_at_most_as_many_as_the_bundle_has(house: House, champion: MonitoredModel) -> None:
    # Numbered, so that none is like another.
    texts = [f"{text[:200]} {number}" for number, text in enumerate(bbc_part(2)[0] + bbc_part(3)[0])]
    size = len(champion.reference)
    assert len(texts) > size
    half = len(texts) // 2
    house.answer(texts[:half], at=BEFORE[0] + 60)
    house.answer(texts[half:], at=BEFORE[0] - DAY + 60)
    accept(house, *BEFORE)
    accept(house, BEFORE[0] - DAY, BEFORE[1] - DAY)
    compared = compared_reference(house.store, champion, *WINDOW, MonitoringSettings(var_dir=house.var))
    assert [window.texts for window in compared.accepted] == [size // 2, size // 2]
    assert len(compared.frame) == size + 2 * (size // 2)
    assert list(compared.frame.columns) == list(champion.reference.columns)


def test_a_window_is_not_part_of_its_own_reference(house: House, champion: MonitoredModel) -> None:
    texts = new_texts(champion, 120)
    house.answer(texts[:60], at=NOW - 7200)
    house.answer(texts[60:], at=NOW - 60)
    accept(house, NOW - 7300, NOW - 10)
    compared = compared_reference(house.store, champion, *WINDOW, MonitoringSettings(var_dir=house.var))
    assert [window.texts for window in compared.accepted] == [60]


def test_erased_texts_leave_the_reference(house: House, champion: MonitoredModel) -> None:
    texts = new_texts(champion, 60)
    ids = house.answer(texts, at=BEFORE[0] + 60)
    house.answer(texts[:1], at=BEFORE[0] + 120)
    accept(house, *BEFORE)
    erase_predictions(house.store, ids[:2])
    compared = compared_reference(house.store, champion, *WINDOW, MonitoringSettings(var_dir=house.var))
    assert [window.texts for window in compared.accepted] == [58]


def test_windows_that_cannot_be_accepted_are_refused(house: House) -> None:
    texts = normal(60)[0]
    house.answer(texts[:10], at=BEFORE[0] + 60)
    house.answer(texts, at=BEFORE[0] + 60, version="6")
    with pytest.raises(
        NotAcceptable, match=r"has 10 different stored texts .*60 predictions .* other versions"
    ):
        accept(house, *BEFORE)
    with pytest.raises(NotAcceptable, match="is not over"):
        accept(house, BEFORE[0], NOW + 60)
    with pytest.raises(NotAcceptable, match="longer than a week"):
        accept(house, NOW - WEEK - 60, NOW, weekly=True)
    house.answer(texts, at=BEFORE[0] + 60)
    first = accept(house, *BEFORE)
    with pytest.raises(NotAcceptable, match=f"overlaps window {first.id}, which ana accepted"):
        accept(house, BEFORE[0] + 30, BEFORE[1] + 30)
    accept(house, *BEFORE, weekly=True)
    assert len(AcceptedWindows(house.store).of_model(house.champion.name)) == 2


def test_a_version_has_a_bounded_number_of_windows(house: House) -> None:
    house.answer(normal(60)[0], at=BEFORE[0] + 60)
    windows = AcceptedWindows(house.store)
    for day in range(2, MOST_WINDOWS + 2):
        windows.add(
            AcceptedWindow(
                house.champion.name,
                house.champion.version,
                NOW - (day + 1) * DAY,
                NOW - day * DAY,
                False,
                50,
                "ana",
            )
        )
    with pytest.raises(NotAcceptable, match=f"has {MOST_WINDOWS} accepted windows"):
        accept(house, *BEFORE)


def test_an_accepted_window_of_another_version_is_left_out(house: House, champion: MonitoredModel) -> None:
    house.answer(normal(60)[0], at=BEFORE[0] + 60)
    AcceptedWindows(house.store).add(AcceptedWindow(house.champion.name, "6", *BEFORE, False, 60, "ana"))
    compared = compared_reference(house.store, champion, *WINDOW, MonitoringSettings(var_dir=house.var))
    assert (len(compared.frame), compared.accepted) == (len(champion.reference), [])
