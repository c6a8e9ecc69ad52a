"""The bound on what early answers cost: exact p-values, and the promise on simulated draws."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom

from training.cascade.thresholds import (
    GRID,
    StageAnswers,
    StageThresholds,
    choose_thresholds,
    loss_p_value,
    texts_needed,
)

LIMIT = 0.02


def losses(texts: int, lost: int, gained: int) -> NDArray[np.int64]:
    found = np.zeros(texts, dtype=np.int64)
    found[:lost], found[lost : lost + gained] = 1, -1
    return found


@pytest.mark.parametrize(("texts", "lost"), [(400, 0), (1000, 3), (5000, 80)])
def test_losses_alone_give_the_binomial_p_value(texts: int, lost: int) -> None:
    expected = binom.cdf(lost, texts, LIMIT) / 0.7
    assert loss_p_value(losses(texts, lost, 0), LIMIT) <= expected + 1e-12
    assert loss_p_value(losses(texts, lost, 0), LIMIT) == pytest.approx(min(1.0, expected), rel=0.2)


def test_gains_are_set_against_losses() -> None:
    assert loss_p_value(losses(5000, 90, 90), LIMIT) < 0.01
    assert loss_p_value(losses(5000, 90, 0), LIMIT) > 0.05


def test_no_texts_show_nothing() -> None:
    assert loss_p_value(losses(0, 0, 0), LIMIT) == 1.0


@pytest.mark.parametrize("limit", [0.005, 0.01, 0.05])
def test_texts_needed_is_the_least_number_that_passes(limit: float) -> None:
    needed = texts_needed(limit, 0.95)
    assert loss_p_value(losses(needed, 0, 0), limit) <= 0.05
    assert loss_p_value(losses(needed - 1, 0, 0), limit) > 0.05


@pytest.mark.parametrize("gains", [0.0, 0.01, 0.05])
def test_a_loss_at_the_limit_passes_in_at_most_5_percent(gains: float) -> None:
    rng = np.random.default_rng(7)
    draws = rng.multinomial(1000, [LIMIT + gains, gains, 1 - LIMIT - 2 * gains], size=2000)
    passed = [loss_p_value(losses(1000, lost, gained), LIMIT) <= 0.05 for lost, gained, _ in draws]
    assert np.mean(passed) <= 0.05


def population(texts: int, seed: int) -> StageAnswers:
    """Four labels, the last one rare; the early stage is calibrated, and at times better than the whole cascade."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(4, size=texts, p=[0.4, 0.35, 0.22, 0.03])
    confidence = 0.5 + 0.5 * rng.beta(3, 0.5, size=texts)
    early = np.where(rng.random(texts) < confidence, truth, (truth + 1) % 4)
    # The whole cascade errs on the harder texts, and not on the same ones.
    full = np.where(rng.random(texts) < 0.97 - 0.3 * (1 - confidence), truth, (truth + 2) % 4)
    return StageAnswers(early, confidence, full, truth, np.ones(texts, dtype=bool))


def part_of(answers: StageAnswers, rows: NDArray[np.int64], *, labelled: int) -> StageAnswers:
    truth = answers.truth[rows].copy()
    truth[labelled:] = -1
    return StageAnswers(
        answers.early[rows], answers.confidence[rows], answers.full[rows], truth, answers.reached[rows]
    )


def choice(answers: StageAnswers, **changed: float) -> StageThresholds:
    limits = {"max_loss": LIMIT, "max_class_loss": 0.1, "confidence": 0.95, **changed}
    return choose_thresholds(answers, 4, **limits)


@pytest.mark.parametrize(("labelled", "unlabelled"), [(800, 0), (500, 500)])
def test_the_promise_holds_in_95_percent_of_500_draws(labelled: int, unlabelled: int) -> None:
    whole = population(200_000, seed=1)
    rng = np.random.default_rng(2)
    kept, shares = [], []
    for _ in range(500):
        rows = rng.choice(len(whole.early), size=labelled + unlabelled, replace=False)
        found = choice(part_of(whole, rows, labelled=labelled))
        answered = whole.answered(found.thresholds)
        kept.append(whole.losses[answered].sum() / len(answered) <= LIMIT)
        shares.append(answered.mean())
    assert np.mean(kept) >= 0.95
    assert np.mean(shares) > 0.2, "a bound that lets nothing pass would hold as well"


def test_a_rare_label_goes_to_the_next_stage() -> None:
    found = choice(part_of(population(200_000, seed=1), np.arange(600), labelled=600))
    assert found.thresholds[3] is None
    assert all(value in GRID for value in found.thresholds[:3])


def test_more_texts_without_labels_allow_more_early_answers() -> None:
    whole = population(200_000, seed=3)
    few = choice(part_of(whole, np.arange(80), labelled=80), max_loss=0.03)
    many = choice(part_of(whole, np.arange(6000), labelled=80), max_loss=0.03)
    assert many.share > few.share
    assert many.texts == 6000


def test_too_few_texts_leave_all_to_the_last_stage() -> None:
    found = choice(part_of(population(1000, seed=1), np.arange(50), labelled=50))
    assert found.thresholds == (None,) * 4
    assert (found.share, found.loss, found.p_value) == (0.0, 0.0, 1.0)
