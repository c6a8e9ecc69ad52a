"""Every reference is quiet, also one that happens to differ from its source."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.monitoring.alarm_rate import answers
from benchmarks.monitoring.references import judge_reference
from monitoring.drift.class_shares import share_change
from monitoring.drift.permutation import permutation_score
from monitoring.drift.reference_error import lasting_threshold
from monitoring.settings import MonitoringSettings
from tests.monitoring.conftest import House
from tests.support.bundles import bbc_part

LEVEL = 0.0085


def test_no_reference_alarms_in_three_percent_of_windows() -> None:
    rng = np.random.default_rng(3)
    classes = np.array(list("abcd"))
    rates, unbounded = [], []
    for number in range(60):
        reference, window = rng.choice(classes, 426), rng.choice(classes, 2000)
        found = share_change(
            reference.tolist(),
            window.tolist(),
            floors={},
            default_floor=0.0,
            mix_floor=1.0,
            permutations=1999,
            rng=np.random.default_rng(number),
        )
        before = (reference[:, None] == classes).mean(axis=0)
        change = (window == found.category).mean() - (reference == found.category).mean()
        # All windows of this reference have this threshold, but for the sampling of their pools.
        discount = 1.0 if change > 0 else 0.85
        windows = rng.multinomial(2000, [0.25] * 4, size=2000) / 2000
        largest = np.maximum(windows - before, 0.85 * (before - windows)).max(axis=1)
        for threshold, into in (
            (lasting_threshold(found.score, LEVEL, 426, 2000), rates),
            (found.score.critical(LEVEL), unbounded),
        ):
            into.append(float((largest >= threshold * discount).mean()))
    assert max(rates) <= 0.03
    assert max(unbounded) > 0.03, "without the bound some reference alarms too often"


def test_small_windows_are_judged_as_by_chance_alone() -> None:
    null = np.abs(np.random.default_rng(1).normal(size=4999))
    score = permutation_score(1.0, null)
    assert lasting_threshold(score, 0.001, 10_000, 100) < score.critical(0.001)
    assert lasting_threshold(score, 0.001, 426, 2000) > 1.1 * score.critical(0.001)


@pytest.mark.slow
def test_quiet_windows_larger_than_the_reference(house: House) -> None:
    rows = answers(house.classifier, list(dict.fromkeys([*bbc_part(2)[0], *bbc_part(3)[0], *bbc_part(4)[0]])))
    for number in range(4):
        trial = judge_reference(
            rows,
            reference_size=200,
            size=800,
            windows=4,
            settings=MonitoringSettings(monitoring_permutations=1999),
            seed=str(number),
        )
        assert trial.flagged == 0
