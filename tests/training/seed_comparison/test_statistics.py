"""What may be said of a few seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from tests import golden_messages as messages
from training.seed_comparison.statistics import Trial, rankings, t_interval


def trials(name: str, scores: dict[int, float], seconds: float = 2.0) -> list[Trial]:
    return [
        Trial(
            name,
            seed,
            {"test_macro_f1": score, "training_seconds": seconds * (seed + 1), "latency_ms_p50": 3.0},
            "",
        )
        for seed, score in scores.items()
    ]


def test_the_interval_is_students() -> None:
    values = [0.81, 0.84, 0.79, 0.86, 0.83]
    expected = ttest_1samp(values, 0).confidence_interval(0.9)
    found = t_interval(values, 0.9)
    assert (found.value, found.low, found.high) == pytest.approx(
        (np.mean(values), expected.low, expected.high)
    )
    with pytest.raises(ValueError, match=messages.TOO_FEW_VALUES):
        t_interval([0.5])


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).normal(0.8, 0.02, size=(400, 5))
    intervals = [t_interval(row.tolist()) for row in draws]
    assert 0.92 <= np.mean([item.low <= 0.8 <= item.high for item in intervals]) <= 0.98


def test_differences_are_paired_by_seed() -> None:
    plain = {0: 0.70, 1: 0.80, 2: 0.90, 3: 0.75}
    steady = {0: 0.712, 1: 0.809, 2: 0.911, 3: 0.76}
    noisy = {0: 0.85, 1: 0.72, 2: 0.88, 3: 0.80}
    lower = {seed: value - 0.1 - seed / 1000 for seed, value in plain.items()}
    rows = rankings(
        [
            *trials("plain", plain),
            *trials("steady", steady, 3.0),
            *trials("noisy", noisy),
            *trials("lower", lower),
        ],
        ["plain", "steady", "noisy", "lower", "never_finished"],
        "plain",
    )
    by_name = {row.candidate: row for row in rows}
    assert list(by_name) == ["plain", "steady", "noisy", "lower"]
    assert [row.verdict for row in rows] == ["", "better", "unclear", "worse"]
    assert by_name["plain"].difference is None
    assert by_name["plain"].cost is None
    gain = by_name["steady"].difference
    assert gain is not None
    assert gain.value == pytest.approx(0.0105)
    assert by_name["plain"].macro_f1 is not None
    assert by_name["plain"].macro_f1.low < by_name["steady"].values[0]  # unpaired, they overlap widely
    assert by_name["steady"].cost == pytest.approx(1.5)
    assert by_name["steady"].as_dict()["verdict"] == "better"


def test_only_seeds_that_both_have_are_compared() -> None:
    rows = rankings(
        [*trials("plain", {0: 0.5, 1: 0.6, 2: 0.7}), *trials("other", {2: 0.8})], ["plain", "other"], "plain"
    )
    assert rows[1].macro_f1 is None
    assert rows[1].difference is None
    assert rows[1].values == {2: 0.8}
    assert rows[1].cost == pytest.approx(1.0)
