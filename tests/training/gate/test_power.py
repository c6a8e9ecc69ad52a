"""The gate's statements on its own power, held to simulated pairs of classifiers; and the rule for cheaper ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.runtime import Probabilities
from training.config.evaluation import GateConfig
from training.data import Part
from training.evaluation.cost import Cost
from training.evaluation.metrics import evaluate, paired_differences
from training.gate.checks import gain_check, is_cheaper, noninferiority_check
from training.gate.contenders import Champion, Contender
from training.gate.decision import Decision, decide
from training.gate.power import Power, power_of

LABELS = ("a", "b", "c", "d")
GATE = GateConfig(resamples=400)


def pair(
    rng: np.random.Generator,
    truth: NDArray[np.int64],
    *,
    gain: float,
    discordance: float,
    wrong: float = 0.04,
) -> tuple[Probabilities, Probabilities]:
    """Answers of challenger and champion: both wrong in a share `wrong`, exactly one in a share `discordance`."""
    only_champion, only_challenger = (discordance - gain) / 2, (discordance + gain) / 2
    kind = rng.choice(4, len(truth), p=[1 - wrong - discordance, wrong, only_champion, only_challenger])
    miss = (truth[:, None] + rng.integers(1, 4, (len(truth), 2))) % 4
    mine = np.where(np.isin(kind, [1, 2]), miss[:, 0], truth)
    theirs = np.where(np.isin(kind, [1, 3]), miss[:, 1], truth)
    one_hot = np.eye(4, dtype=np.float32)
    return one_hot[mine], one_hot[theirs]


def judged(
    rng: np.random.Generator, texts: int, gain: float, discordance: float, seed: int
) -> tuple[Power, bool, bool]:
    """What the gate says of one pair: its power, whether the gain passes, whether non-inferiority does."""
    truth = rng.integers(0, 4, texts)
    mine, theirs = pair(rng, truth, gain=gain, discordance=discordance)
    found = paired_differences(
        mine, theirs, [LABELS[i] for i in truth], LABELS, seed=seed, resamples=GATE.resamples
    )
    right, their_right = (given.argmax(axis=1) == truth for given in (mine, theirs))
    passed = gain_check(found, GATE)[0].outcome == "passed"
    return (
        power_of(found, right, their_right, GATE),
        passed,
        noninferiority_check(found, GATE).outcome == "passed",
    )


@pytest.mark.parametrize(("texts", "discordance"), [(426, 0.06), (2500, 0.05), (426, 0.15)])
def test_stated_gain_passes_in_four_of_five_cases(texts: int, discordance: float) -> None:
    rng = np.random.default_rng(texts)
    stated = [judged(rng, texts, 0.0, discordance, seed)[0].smallest_gain for seed in range(60)]
    gain = float(np.median(stated))
    passed = [judged(rng, texts, gain, discordance, seed)[1] for seed in range(400)]
    # 400 pairs at 80 %: two standard deviations are 4 points.
    assert np.mean(passed) == pytest.approx(0.8, abs=0.06)


def test_stated_number_of_texts_notices_one_point() -> None:
    rng = np.random.default_rng(3)
    more = [judged(rng, 426, 0.0, 0.06, seed)[0].more_texts for seed in range(60)]
    texts = 426 + int(np.median(more))
    passed = [judged(rng, texts, 0.01, 0.06, seed)[1] for seed in range(300)]
    assert np.mean(passed) == pytest.approx(0.8, abs=0.07)


def test_same_answers_leave_a_positive_smallest_gain() -> None:
    power, passed, _ = judged(np.random.default_rng(0), 426, 0.0, 0.0, 0)
    assert power.discordance == 0
    assert not passed
    # A gain takes discordance of its size: (1.96 + 0.84)² / (426 + 7.85)
    assert power.smallest_gain == pytest.approx(7.85 / (426 + 7.85), rel=0.01)


def test_enough_texts_need_no_more() -> None:
    power = judged(np.random.default_rng(0), 20_000, 0.0, 0.04, 0)[0]
    assert power.smallest_gain < 0.01
    assert power.more_texts == 0
    assert "more labelled" not in power.sentence()


def test_worse_by_the_margin_rarely_passes_as_not_worse() -> None:
    rng = np.random.default_rng(5)
    at_margin = [judged(rng, 1500, -GATE.noninferiority_margin, 0.04, seed)[2] for seed in range(300)]
    equal = [judged(rng, 1500, 0.0, 0.04, seed)[2] for seed in range(150)]
    assert np.mean(at_margin) < 0.09, "one-sided level of 5 %; three standard deviations above"
    assert np.mean(equal) > 0.5


COST = Cost(10.0, 20.0, 100.0)


@pytest.mark.parametrize(
    ("milliseconds", "megabytes", "cheaper"),
    [(4.0, 100.0, True), (4.0, 101.0, False), (9.0, 40.0, True), (14.0, 40.0, False), (9.0, 90.0, False)],
)
def test_cheaper_in_one_cost_and_not_dearer_in_the_other(
    milliseconds: float, megabytes: float, cheaper: bool
) -> None:
    assert is_cheaper(Cost(milliseconds, 20.0, megabytes), COST, GATE) == cheaper
    assert not is_cheaper(Cost(milliseconds, 20.0, megabytes), None, GATE)


@pytest.mark.parametrize(
    ("prefer", "megabytes", "promoted"),
    [("better", 10.0, False), ("cheaper", 10.0, True), ("cheaper", 100.0, False)],
)
def test_cheaper_challenger_need_not_be_better(prefer: str, megabytes: float, promoted: bool) -> None:
    found = decision_on_equals(GATE.model_copy(update={"prefer": prefer}), megabytes)
    assert found.promoted == promoted
    outcomes = {check.name: check.outcome for check in found.checks}
    assert outcomes.get("noninferiority") == ("passed" if promoted else None)
    assert found.power is not None
    assert found.power.sentence() in found.reasons


def decision_on_equals(gate: GateConfig, megabytes: float) -> Decision:
    """The gate on two classifiers of the same quality, the challenger of that size."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 4, 3000)
    test = Part([f"text {i}" for i in range(3000)], [LABELS[i] for i in truth])
    mine, theirs = pair(rng, truth, gain=0.0, discordance=0.03)
    scores = evaluate(mine, test.labels, LABELS, seed=0, resamples=200)
    contender = Contender("small", LABELS, mine, scores, replace(COST, megabytes=megabytes))
    return decide(contender, test, Champion("3", LABELS, theirs, cost=COST), gate, seed=0)
