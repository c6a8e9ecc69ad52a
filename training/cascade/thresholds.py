"""Thresholds of a cascade with a bound on what answering early may cost.

Learn-then-Test (Angelopoulos, Bates, Candès, Jordan and Lei 2021, arXiv:2110.01052): a fixed sequence of ever lower
thresholds is tested, each at the whole level, until one cannot be shown to be harmless.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincinv, gammaln

GRID = (
    0.9995, 0.999, 0.998, 0.997, 0.995, 0.993, 0.99, 0.985, 0.98, 0.97, 0.96, 0.95, 0.94, 0.92, 0.9, 0.88, 0.86,
    0.84, 0.82, 0.8, 0.78, 0.76, 0.74, 0.72, 0.7, 0.68, 0.66, 0.64, 0.62, 0.6, 0.58, 0.56, 0.54, 0.52, 0.5, 0.45,
    0.4, 0.35, 0.3,
)  # fmt: skip
"""Thresholds in the order in which they are tested; chosen before any text is looked at."""

_HARM, _SIGNED = 0.7, 0.3
"""How the probability of error is divided between the two tests of `loss_p_value`."""
_NUISANCE = 0.002
"""Probability that the rate of gains is above its bound in the second test."""


@dataclass(frozen=True)
class StageAnswers:
    """An early stage and the whole cascade on n texts."""

    early: NDArray[np.int64]
    """(n,) label that the early stage gives."""
    confidence: NDArray[np.float64]
    """(n,) its probability."""
    full: NDArray[np.int64]
    """(n,) label that the whole cascade gives."""
    truth: NDArray[np.int64]
    """(n,) true label; -1 where it is not known."""
    reached: NDArray[np.bool_]
    """(n,) whether the text reaches this stage."""

    @property
    def losses(self) -> NDArray[np.int64]:
        """(n,) what is lost where the early stage answers: 1, 0, or -1 where it is right and the whole cascade is not.

        Without a true label each disagreement counts as a loss, which it is at most.
        """
        known = self.truth >= 0
        lost = (self.full == self.truth).astype(np.int64) - (self.early == self.truth)
        losses: NDArray[np.int64] = np.where(known, lost, (self.early != self.full).astype(np.int64))
        return losses

    def answered(self, thresholds: Sequence[float | None]) -> NDArray[np.bool_]:
        """(n,) whether the early stage answers; `thresholds` has one for each label, None for never."""
        limits = np.array([math.inf if value is None else value for value in thresholds])
        found: NDArray[np.bool_] = self.reached & (self.confidence >= limits[self.early])
        return found


@dataclass(frozen=True, slots=True)
class StageThresholds:
    """The thresholds of one stage, and what was shown of them."""

    thresholds: tuple[float | None, ...]
    """For each label the probability from which the stage answers; None: never."""
    share: float
    """Share of all texts that the stage answers."""
    loss: float
    """Mean loss over all texts, as measured."""
    p_value: float
    """Of the hypothesis that the loss is above the limit; 1 if no threshold passed."""
    texts: int
    """Texts on which they were tested."""


def loss_p_value(losses: NDArray[np.int64], limit: float) -> float:
    """p-value of the hypothesis that the mean loss is above `limit`; exact for independent texts.

    The smaller of two, each at its share of the level. One counts losses only (binomial), and is the sharper one where
    there are few. The other sets gains against losses (the difference of two multinomial counts); it does not know the
    rate of gains, and takes the worst one below a confidence bound (Berger and Boos 1994, *P Values Maximized Over a
    Confidence Set for the Nuisance Parameter*).

    Args:
        losses: values -1, 0 and 1.
        limit: above 0 and below 0.5.
    """
    count, lost, gained = len(losses), int((losses == 1).sum()), int((losses == -1).sum())
    if not count:
        return 1.0
    harm = float(_binomial_cdf(np.array([lost]), np.array([count]), limit)[0])
    bound = float(betaincinv(gained + 1, count - gained, 1 - _NUISANCE)) if gained < count else 1.0
    highest = min(bound, (1 - limit) / 2)
    signed = max(
        _difference_cdf(lost - gained, count, limit + rate, rate) for rate in (0.0, highest / 2, highest)
    )
    return min(1.0, harm / _HARM, (signed + _NUISANCE) / _SIGNED)


def _difference_cdf(difference: int, count: int, lost: float, gained: float) -> float:
    """Probability that losses minus gains are at most `difference`, with `count` texts and the rates of both."""
    mean = count * gained
    # Beyond 8 deviations nothing is left to sum.
    gains = np.arange(min(count, int(mean + 8 * math.sqrt(mean) + 20)) + 1)
    losses = _binomial_cdf(difference + gains, count - gains, lost / (1 - gained))
    return float((_binomial_pmf(gains, count, gained) * losses).sum())


# scipy.stats gives both as well; its checks of arguments take most of the time of a choice of thresholds.


def _binomial_cdf(
    successes: NDArray[np.int64], trials: NDArray[np.int64], rate: float
) -> NDArray[np.float64]:
    inside = np.clip(successes, 0, np.maximum(trials - 1, 0))
    found = betainc(np.maximum(trials - inside, 1), inside + 1, 1 - rate)
    cdf: NDArray[np.float64] = np.where(successes < 0, 0.0, np.where(successes >= trials, 1.0, found))
    return cdf


def _binomial_pmf(successes: NDArray[np.int64], trials: int, rate: float) -> NDArray[np.float64]:
    if rate <= 0:
        none: NDArray[np.float64] = (successes == 0).astype(np.float64)
        return none
    ways = gammaln(trials + 1) - gammaln(successes + 1) - gammaln(trials - successes + 1)
    pmf: NDArray[np.float64] = np.exp(
        ways + successes * math.log(rate) + (trials - successes) * math.log1p(-rate)
    )
    return pmf


def texts_needed(limit: float, confidence: float) -> int:
    """Least number of texts with which a threshold can pass, if nothing is lost on any of them."""
    return math.ceil(math.log((1 - confidence) * _HARM) / math.log1p(-limit))


def choose_thresholds(
    answers: StageAnswers,
    labels: int,
    *,
    max_loss: float,
    max_class_loss: float,
    confidence: float,
) -> StageThresholds:
    """The lowest thresholds of one stage whose loss is shown to stay within both limits.

    First each label gets the lowest threshold at which the loss among texts that the stage gives this label is shown
    to be at most `max_class_loss`; a label with too few texts gets none, so that its texts go to the next stage. Then
    all thresholds are lowered together, no label below its own, while the loss over all texts is shown to be at most
    `max_loss`.

    Args:
        answers: on texts that neither the stages nor their weights learned from.
        labels: number of labels.
        max_loss: limit of the accuracy lost over all texts.
        max_class_loss: the same among the texts that the stage gives one label.
        confidence: of each statement, such as 0.95.
    """
    losses, level = answers.losses, 1 - confidence
    own: list[float | None] = []
    for label in range(labels):
        inside = answers.reached & (answers.early == label)
        own.append(_lowest(losses[inside], answers.confidence[inside], max_class_loss, level))
    chosen: tuple[float | None, ...] = (None,) * labels
    p_value = 1.0
    for threshold in GRID:
        tried = tuple(None if value is None else max(threshold, value) for value in own)
        found = loss_p_value(np.where(answers.answered(tried), losses, 0), max_loss)
        if found > level:
            break
        chosen, p_value = tried, found
    answered = answers.answered(chosen)
    count = max(1, len(losses))
    return StageThresholds(
        chosen, float(answered.mean()) if len(losses) else 0.0, float(losses[answered].sum()) / count,
        p_value, len(losses),
    )  # fmt: skip


def _lowest(
    losses: NDArray[np.int64], confidence: NDArray[np.float64], limit: float, level: float
) -> float | None:
    lowest = None
    for threshold in GRID:
        if loss_p_value(np.where(confidence >= threshold, losses, 0), limit) > level:
            break
        lowest = threshold
    return lowest
