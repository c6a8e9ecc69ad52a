"""The parts of the simulation of all signals that can be computed by hand; whole half-years take minutes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.monitoring.all_signals import Traffic, poisson_interval
from benchmarks.monitoring.many_looks import DAY
from monitoring.settings import MonitoringSettings
from stores.predictions import LabelledPrediction


def answer(text: str) -> LabelledPrediction:
    scores = {"a": 0.9, "b": 0.1}
    return LabelledPrediction(text, "a", 0.9, scores, 1, False, "", "")


def test_the_interval_of_a_count_is_exact() -> None:
    assert poisson_interval(0, 1) == pytest.approx((0.0, 3.689), abs=0.001)
    assert poisson_interval(1, 2) == pytest.approx((0.0127, 2.786), abs=0.001)


def test_each_text_is_sent_again_only_when_all_have_been() -> None:
    pool = [answer(f"text {number}") for number in range(50)]
    changed = [answer("changed")]
    traffic = Traffic(
        [answer("own")],
        pool,
        columns=pd.DataFrame({"p_a": [0.5], "p_b": [0.5]}),
        changed=changed,
        change_at=5 * DAY,
        share=1.0,
        rate=10,
        days=10,
        settings=MonitoringSettings(),
        rng=np.random.default_rng(1),
    )
    before = traffic.read(0, 5 * DAY, 1000)
    assert 30 <= len(before) <= 50
    assert {row.text for row in before} <= {row.text for row in pool}
    assert [row.text for row in traffic.read(5 * DAY, 10 * DAY, 1000)] == ["changed"]
    assert list(traffic.reference["text"]) == ["own"]
