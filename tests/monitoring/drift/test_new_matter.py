"""New matter in a part of the traffic, and repeats, which are no drift of content."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import pytest

from monitoring.drift.new_matter import find_excess
from monitoring.drift.permutation import PermutationSampler
from monitoring.report.advice import advice_for
from monitoring.verdict import Verdict
from tests.monitoring.conftest import House, normal
from tests.support.bundles import bbc_articles, bbc_part

LETTERS = tuple(
    f"hi, my {thing} {trouble}! could you please help me? i paid for it {days} days ago and want my money back :("
    for thing in ("charger", "router", "printer", "headset", "phone", "camera", "screen")
    for trouble in ("is broken", "never arrived", "smells", "will not start", "stopped working")
    for days in (2, 9, 30)
)


def draws(seed: int = 1) -> PermutationSampler:
    return PermutationSampler(999, np.random.default_rng(seed))


def sides(seed: int, new: Sequence[str], *, size: int = 300) -> tuple[list[str], list[str]]:
    """A reference of 800 articles, and a window of others with `new` texts among them; beginnings only."""
    drawn = random.Random(seed).sample([text[:300] for text in dict.fromkeys(bbc_articles()[0])], 800 + size)
    return drawn[:800], [*drawn[800 : 800 + size - len(new)], *new]


def signal_of(verdict: Verdict, name: str):  # type: ignore[no-untyped-def]
    return next(signal for signal in verdict.drift.signals if signal.name == name)


def test_a_tenth_of_new_texts_is_found_and_named() -> None:
    new = LETTERS[:30]
    reference, window = sides(1, new)
    found = find_excess(reference, window, draws(), floor=0.03)
    assert found.score.p_value < 1e-4
    assert 0.06 <= found.score.value <= 0.14
    assert {window[place] for place in found.members[:20]} <= set(new)


def test_quiet_windows_have_no_new_matter() -> None:
    low = [find_excess(*sides(seed, ()), draws(seed)).score.p_value < 0.05 for seed in range(12)]
    # 5 % of 12: more than three is one chance in fifty thousand at the nominal level.
    assert sum(low) <= 3


def test_texts_in_random_order_have_no_excess() -> None:
    reference, window = sides(2, ())
    mixed = np.random.default_rng(3).permutation([*reference, *window]).tolist()
    found = find_excess(mixed[:800], mixed[800:], draws())
    assert found.score.p_value > 0.01
    assert found.score.critical(0.001) > found.score.critical(0.05) > 0


def test_new_matter_is_in_verdict_report_and_advice(house: House) -> None:
    ids = house.answer([*normal(270)[0], *LETTERS[:30]])
    checked = house.check(monitoring_show_texts=True)
    part = checked.verdict.drift.changed_part
    assert part is not None
    assert signal_of(checked.verdict, "new_matter").status == "breach"
    # The order of texts that are equally far depends on their ids, which are other ones each time.
    assert len(set(part.ids[:10]) & set(ids[270:])) >= 8
    assert {"please", "my"} & set(part.terms)
    assert "a sender or a subject that came in" in advice_for(checked.verdict)[0]
    page = checked.report.read_text(encoding="utf-8")
    assert "Texts of the part that changed" in page
    assert "money back" in page


@pytest.mark.parametrize("copies", [100, 300])
def test_a_bot_is_repeats_and_no_drift(house: House, copies: int) -> None:
    texts = normal(200)[0]
    ids = house.answer([*texts, *[texts[0]] * copies])
    verdict = house.verdict()
    assert verdict.status == "ok"
    repeats = verdict.drift.repeats
    assert repeats is not None
    assert repeats.status == "many"
    assert repeats.share == pytest.approx(copies / (200 + copies))
    assert repeats.largest == pytest.approx((copies + 1) / (200 + copies))
    assert repeats.largest_id in {ids[0], *ids[200:]}


def test_texts_that_are_sent_once_are_no_repeats(house: House) -> None:
    house.answer(bbc_part(2)[0][:60])
    repeats = house.verdict().drift.repeats
    assert repeats is not None
    assert (repeats.status, repeats.largest, repeats.largest_id) == ("ok", 0.0, None)
