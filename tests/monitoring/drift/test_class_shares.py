"""The mix of answers: floors in percentage points, the class that decides, power and false alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from monitoring.drift.class_shares import WHOLE_MIX, ShareChange, share_change
from monitoring.drift.predictions import PredictedLabelSettings

LEVEL = 0.0085
"""The part of α = 1 % that this signal gets."""


def change(
    before: Sequence[str], now: Sequence[str], *, floors: Mapping[str, float] | None = None, seed: int = 1
) -> ShareChange:
    return share_change(
        before,
        now,
        floors=floors or {},
        default_floor=0.05,
        mix_floor=0.1,
        permutations=999,
        rng=np.random.default_rng(seed),
    )


def mix(shares: Mapping[str, int]) -> list[str]:
    return [name for name, count in shares.items() for _ in range(count)]


def alarms(share: float, size: int, *, reference: int, windows: int) -> int:
    """Windows in which one of four classes, a quarter before, has `share` of the answers, and that alarm."""
    rng = np.random.default_rng(5)
    flagged = 0
    for number in range(windows):
        before = rng.choice(list("abcd"), reference).tolist()
        now = rng.choice(list("abcd"), size, p=[share, *[(1 - share) / 3] * 3]).tolist()
        found = change(before, now, seed=number)
        flagged += found.score.value >= max(found.floor, found.score.critical(LEVEL))
    return flagged


def test_the_class_that_rose_decides_in_points() -> None:
    found = change(mix({"a": 500, "b": 500, "c": 500}), mix({"a": 150, "b": 75, "c": 75}))
    assert found.category == "a"
    assert found.score.value == pytest.approx(0.5 - 1 / 3)
    assert found.floor == 0.05
    assert found.score.p_value < 1e-4


def test_a_class_below_its_floor_leaves_the_decision_to_another() -> None:
    before = mix({"rare": 10, "a": 4000, "b": 3990})
    now = mix({"rare": 30, "a": 1110, "b": 860})
    assert change(before, now, floors={"rare": 0.01}).category == "rare"
    assert change(before, now).category in {"a", "b"}


def test_many_small_changes_count_as_a_whole() -> None:
    names = [f"class {number}" for number in range(60)]
    before = mix(dict.fromkeys(names, 50))
    now = mix({name: 15 if place % 2 else 5 for place, name in enumerate(names)})
    found = change(before, now)
    assert found.category == WHOLE_MIX
    assert found.score.value == pytest.approx(0.25)
    assert found.score.value > found.score.critical(LEVEL)


def test_a_fall_is_found_with_the_power_of_a_rise() -> None:
    assert alarms(0.10, 200, reference=2674, windows=60) >= 55


def test_a_rise_from_25_to_40_percent_is_found_in_200() -> None:
    # 94 % in 4,000 windows (docs/monitoring.md); 51 of 60 is three standard deviations below.
    assert alarms(0.40, 200, reference=2674, windows=60) >= 51


def test_a_rise_from_25_to_33_percent_is_found_in_1000() -> None:
    assert alarms(0.33, 1000, reference=2674, windows=60) >= 53


@pytest.mark.parametrize("size", [200, 1000])
def test_an_unchanged_mix_seldom_alarms(size: int) -> None:
    # 0.85 % of 100: more than four is one chance in 1,500.
    assert alarms(0.25, size, reference=2674, windows=100) <= 4


def test_floors_of_classes_are_read_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONITORING_CLASS_FLOORS", '{"Sports": 0.15}')
    assert PredictedLabelSettings().monitoring_class_floors == {"Sports": 0.15}
    monkeypatch.setenv("MONITORING_CLASS_FLOORS", '{"Sports": 1.5}')
    with pytest.raises(ValueError, match="less than or equal to 1"):
        PredictedLabelSettings()
