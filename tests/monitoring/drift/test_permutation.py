"""The statistics: the same scores as Evidently's, nulls that hold, corrections that decide alike."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from monitoring.drift.permutation import (
    Floats,
    PermutationSampler,
    Score,
    auc_score,
    categorical_score,
    holm,
    numeric_scores,
)


def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def numeric_score(reference: Floats, window: Floats, draws: PermutationSampler) -> Score:
    return numeric_scores({"one": (reference, window)}, draws)["one"]


@pytest.mark.parametrize("sizes", [(300, 40), (40, 300), (150, 150)])
def test_numeric_score_is_the_normed_wasserstein_distance(sizes: tuple[int, int]) -> None:
    source = np.random.default_rng(1)
    reference, window = source.exponential(5, sizes[0]), source.exponential(7, sizes[1])
    score = numeric_score(reference, window, PermutationSampler(999, rng()))
    assert score.value == pytest.approx(wasserstein_distance(reference, window) / reference.std())


def test_scores_with_ties_are_right_too() -> None:
    reference, window = np.array([1.0, 1, 2, 2, 3, 3]), np.array([1.0, 2, 3, 3])
    score = numeric_score(reference, window, PermutationSampler(999, rng()))
    assert score.value == pytest.approx(wasserstein_distance(reference, window) / reference.std())


def test_signals_scored_together_equal_each_scored_alone() -> None:
    source = np.random.default_rng(3)
    sides = {
        "skewed": (source.lognormal(size=90), source.lognormal(0.3, size=50)),
        "in steps": (source.poisson(3, 90).astype(float), source.poisson(3, 50).astype(float)),
        "far from zero": (1e6 + source.normal(size=90), 1e6 + source.normal(0.5, size=50)),
        "another size": (source.normal(size=90), source.normal(size=30)),
    }
    together = numeric_scores(sides, PermutationSampler(999, rng()))
    assert list(together) == list(sides)
    for name, (old, new) in sides.items():
        assert together[name].value == pytest.approx(wasserstein_distance(old, new) / old.std())
        draws = PermutationSampler(999, rng())
        if name == "another size":
            list(draws.blocks(90, 50))  # the same draws as together
        alone = numeric_score(old, new, draws)
        assert together[name].p_value == alone.p_value
        assert together[name].critical(0.01) == pytest.approx(alone.critical(0.01))


def test_scores_are_evidentlys() -> None:
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift

    source = np.random.default_rng(2)
    frames = [
        pd.DataFrame({"x": source.normal(shift, 1, n), "kind": source.choice(["a", "b", "c"], n, p=mix)})
        for shift, n, mix in ((0.0, 200, [0.6, 0.4, 0.0]), (0.4, 90, [0.2, 0.5, 0.3]))
    ]
    definition = DataDefinition(numerical_columns=["x"], categorical_columns=["kind"])
    before, now = (Dataset.from_pandas(frame, data_definition=definition) for frame in frames)
    metrics = [
        ValueDrift(column="x", method="wasserstein"),
        ValueDrift(column="kind", method="jensenshannon"),
    ]
    theirs = [metric["value"] for metric in Report(metrics).run(now, before).dict()["metrics"]]
    numeric = numeric_score(
        frames[0]["x"].to_numpy(), frames[1]["x"].to_numpy(), PermutationSampler(999, rng())
    )
    mix = categorical_score(list(frames[0]["kind"]), list(frames[1]["kind"]), PermutationSampler(999, rng()))
    assert numeric.value == pytest.approx(theirs[0])
    assert mix.value == pytest.approx(theirs[1])


@pytest.mark.parametrize("sizes", [(100, 30), (60, 400)])
def test_p_values_are_uniform_when_nothing_changed(sizes: tuple[int, int]) -> None:
    source = np.random.default_rng(7)
    low = {"numeric": 0, "mix": 0}
    for _ in range(200):
        old, new = source.lognormal(size=sizes[0]), source.lognormal(size=sizes[1])
        low["numeric"] += numeric_score(old, new, PermutationSampler(199, source)).p_value <= 0.1
        kinds = (list(source.choice(list("abcd"), n)) for n in sizes)
        low["mix"] += categorical_score(*kinds, PermutationSampler(199, source)).p_value <= 0.1
    # 200 draws at 0.1: 20 expected, 34 is three standard deviations above.
    assert 6 <= low["numeric"] <= 34
    assert low["mix"] <= 34


def test_a_large_shift_is_rarer_than_any_permutation() -> None:
    score = numeric_score(np.arange(200.0), np.arange(200.0) + 150, PermutationSampler(999, rng()))
    assert 0 < score.p_value < 1e-6


@pytest.mark.parametrize("level", [1e-3, 1e-4])
def test_the_fitted_tail_is_no_surer_than_many_permutations(level: float) -> None:
    source = np.random.default_rng(11)
    old, new = source.lognormal(size=200), source.lognormal(size=100)
    few = [
        numeric_score(old, new, PermutationSampler(999, np.random.default_rng(seed))).critical(level)
        for seed in range(20)
    ]
    many = numeric_score(old, new, PermutationSampler(99_999, source)).critical(level)
    assert np.mean(few) >= many
    assert np.mean(few) < 1.5 * many


def test_values_that_never_vary_are_no_drift() -> None:
    score = numeric_score(np.ones(80), np.ones(60), PermutationSampler(999, rng()))
    assert (score.value, score.p_value) == (0.0, 1.0)


def test_equal_mixes_are_no_drift() -> None:
    score = categorical_score(["a", "b"] * 40, ["a", "b"] * 30, PermutationSampler(999, rng()))
    assert score.value == 0.0
    assert score.p_value == 1.0


@given(st.integers(0, 10_000), st.sampled_from([0.001, 0.01, 0.05, 0.2]))
@settings(max_examples=60, deadline=None)
def test_the_critical_score_and_the_p_value_decide_alike(seed: int, level: float) -> None:
    source = np.random.default_rng(seed)
    score = numeric_score(
        source.normal(size=60), source.normal(0.3, size=40), PermutationSampler(999, source)
    )
    assert (score.p_value <= level) == (score.value >= score.critical(level))


def test_an_auc_is_judged_by_how_many_texts_it_was_held_out_on() -> None:
    few, many = auc_score(0.6, 30, 30), auc_score(0.6, 3000, 3000)
    assert few.p_value > 0.05 > 1e-9 > many.p_value
    assert few.critical(0.01) > many.critical(0.01) > 0.5
    assert auc_score(0.3, 50, 50).p_value > 0.99


@given(
    st.lists(st.tuples(st.floats(0.0001, 1), st.floats(0.01, 1)), min_size=1, max_size=12),
    st.sampled_from([0.01, 0.05]),
)
@settings(max_examples=200, deadline=None)
def test_holms_levels_decide_as_the_adjusted_p_values_do(
    found: list[tuple[float, float]], alpha: float
) -> None:
    p_values, shares = [p for p, _ in found], [share for _, share in found]
    adjusted, levels = holm(p_values, alpha, shares)
    for p, corrected, level in zip(p_values, adjusted, levels, strict=True):
        assert corrected >= p * (1 - 1e-9)
        if not np.isclose(corrected, alpha) and not np.isclose(p, level):
            assert (corrected <= alpha) == (p <= level)


def test_holm_by_hand() -> None:
    adjusted, levels = holm([0.001, 0.2, 0.02], 0.05)
    assert adjusted == pytest.approx([0.003, 0.2, 0.04])
    assert levels == pytest.approx([0.05, 0.05, 0.05])
    assert holm([], 0.05) == ([], [])
    adjusted, levels = holm([0.03, 0.03], 0.05, [0.8, 0.2])
    assert adjusted == pytest.approx([0.0375, 0.0375])
    adjusted, levels = holm([0.045, 0.02], 0.05, [0.8, 0.2])
    assert adjusted == pytest.approx([0.05625, 0.05625])
    assert levels == pytest.approx([0.04, 0.01])
