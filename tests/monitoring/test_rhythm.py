"""What is usual at this time of the week is no breach, and what lasts never becomes usual."""

from __future__ import annotations

import pytest

from monitoring.times import WEEK
from stores.predictions.checks import Check, CheckLog
from tests.monitoring.conftest import NOW, House
from tests.support.bundles import bbc_part

DAY = 86400.0


@pytest.fixture
def articles() -> tuple[list[str], list[str]]:
    """Articles that the champion never saw, of sport and of other subjects."""
    found = {text: label for part in (2, 3, 4) for text, label in zip(*bbc_part(part), strict=True)}
    sport = [text for text, label in found.items() if label == "sports"]
    return sport, [text for text, label in found.items() if label != "sports"]


def weeks_of_sport(house: House, articles: tuple[list[str], list[str]], weeks: int) -> None:
    """Mostly sport in the last hour and at the same time of earlier weeks, the usual mix between them."""
    sport, others = (iter(texts) for texts in articles)
    for back in range(weeks + 1):
        house.answer([next(sport) for _ in range(40)], at=NOW - 60 - back * WEEK)
        house.answer([next(others) for _ in range(12)], at=NOW - 60 - back * WEEK)
    for back in range(weeks):
        house.answer([next(sport) for _ in range(6)], at=NOW - 60 - (back + 0.5) * WEEK)
        house.answer([next(others) for _ in range(48)], at=NOW - 60 - (back + 0.5) * WEEK)
    house.answer([next(others)], at=NOW - weeks * WEEK - DAY)


def checks_between(house: House, status: str) -> None:
    log = CheckLog(house.store)
    for day in range(1, 21):
        until = NOW - DAY * day
        signal = {"value": 0.2, "threshold": 0.1, "status": status}
        log.add(Check(
            checked_at=until, since=until - 3600, until=until, model_name=house.champion.name,
            model_version=house.champion.version, status=status, summary="", report="",
            signals=dict.fromkeys(("predicted_label", "embedding", "confidence", "text_content"), signal),
            accuracy=None, labelled=0,
        ))  # fmt: skip


def test_the_usual_mix_of_this_time_of_the_week_is_no_breach(
    house: House, articles: tuple[list[str], list[str]]
) -> None:
    weeks_of_sport(house, articles, 2)
    checks_between(house, "ok")
    verdict = house.verdict()
    found = next(signal for signal in verdict.drift.signals if signal.name == "predicted_label")
    assert verdict.drift.weeks == 2
    assert found.status == "ok"
    assert found.usual is not None
    assert len(found.usual.windows) == 2
    assert found.value is not None
    assert found.threshold is not None
    assert found.value > found.threshold, "it differs from the reference of the bundle"
    assert any("usual at this time of the week" in note for note in verdict.notes)


def test_a_breach_that_lasts_is_not_usual(house: House, articles: tuple[list[str], list[str]]) -> None:
    weeks_of_sport(house, articles, 2)
    checks_between(house, "breach")
    found = next(signal for signal in house.verdict().drift.signals if signal.name == "predicted_label")
    assert (found.status, found.usual) == ("breach", None)


def test_one_week_is_too_few_to_tell_a_rhythm(house: House, articles: tuple[list[str], list[str]]) -> None:
    weeks_of_sport(house, articles, 1)
    checks_between(house, "ok")
    verdict = house.verdict()
    assert verdict.status == "breach"
    assert verdict.drift.weeks == 1
    assert any("A weekly rhythm cannot be told apart" in note for note in verdict.notes)
