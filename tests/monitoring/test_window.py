"""Windows: what the store hands out."""

from __future__ import annotations

from pathlib import Path

import pytest

from stores.predictions import Prediction, PredictionStore


@pytest.fixture
def store(tmp_path: Path) -> PredictionStore:
    return PredictionStore.open(f"sqlite:///{tmp_path / 'predictions.db'}")


def prediction(at: float, label: str = "a") -> Prediction:
    return Prediction(f"text {at}", label, 0.9, {"a": 0.9, "b": 0.1}, 2, False, "m", "1", created_at=at)


def test_a_sample_is_spread_over_the_window_and_always_the_same(store: PredictionStore) -> None:
    store.add([prediction(float(at)) for at in range(3000)])
    sample = store.sample(0, 3000, size=300, model_name="m", model_version="1")
    assert len(sample) == 300
    assert len({row.id for row in sample}) == 300
    assert [row.id for row in sample] == [row.id for row in store.sample(0, 3000, size=300)]
    in_first_half = sum(row.created_at < 1500 for row in sample)
    assert 100 < in_first_half < 200  # 150 expected, 50 is over five standard deviations
    assert store.sample(0, 3000, size=300, model_version="2") == []


def test_a_small_window_is_sampled_whole(store: PredictionStore) -> None:
    store.add([prediction(float(at)) for at in range(40)])
    assert len(store.sample(10, 30, size=300)) == 20


def test_outcomes_count_the_labels_in_force_with_their_lag(store: PredictionStore) -> None:
    rows = [prediction(0.0, "a"), prediction(1.0, "a"), prediction(2.0, "b"), prediction(3.0, "b")]
    store.add(rows)
    store.add_feedback({rows[0].id: "b", rows[1].id: "a", rows[2].id: "b"}, at=11.0)
    store.add_feedback({rows[0].id: "a"}, at=20.0)  # a better informed reader
    found = {(o.label, o.true_label): (o.count, o.mean_lag) for o in store.outcomes(0, 10)}
    assert found == {("a", "a"): (2, 15.0), ("b", "b"): (1, 9.0)}
    assert store.outcomes(5, 10) == []
