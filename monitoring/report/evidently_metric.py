"""A custom Evidently metric with a test, for signals whose measure Evidently lacks.

Imported only where a page is written: importing Evidently takes seconds.
"""

from __future__ import annotations

from evidently.core.datasets import Dataset
from evidently.core.metric_types import (
    MetricCalculationBase,
    MetricTest,
    MetricTestResult,
    SingleValue,
    SingleValueCalculation,
    SingleValueMetric,
    SingleValueTest,
)
from evidently.core.report import Context
from evidently.legacy.tests.base_test import TestStatus

from monitoring.verdict import Signal


class WithinChance(MetricTest):  # type: ignore[misc]
    """Passes while the score is below the calibrated threshold."""

    threshold: float
    p_adjusted: float
    words: str

    def to_test(self) -> SingleValueTest:
        """Evidently's protocol: a function of context, metric and value."""

        def judged(_: Context, metric: MetricCalculationBase, value: SingleValue) -> MetricTestResult:
            return MetricTestResult(
                id="within_chance",
                name=value.display_name,
                description=f"{self.words[:1].upper()}{self.words[1:]}. Score {value.value:.3f}, a breach from "
                f"{self.threshold:.3f} on; p = {self.p_adjusted:.3f}, corrected over all signals.",
                metric_config=metric.to_metric_config(),
                test_config=self.dict(),
                status=TestStatus.FAIL if value.value >= self.threshold else TestStatus.SUCCESS,
            )

        return judged


class SignalScore(SingleValueMetric):  # type: ignore[misc]
    """A score that our own code measured."""

    title: str
    score: float


class SignalScoreCalculation(SingleValueCalculation[SignalScore]):  # type: ignore[misc]
    """Hands the score on."""

    def calculate(
        self, context: Context, current_data: Dataset, reference_data: Dataset | None
    ) -> SingleValue:
        """The score; the data are those of the other metrics."""
        del context, current_data, reference_data
        return self.result(self.metric.score)

    def display_name(self) -> str:
        """As in our report."""
        return f"{self.metric.title}: how far it moved"


def score_metric(signal: Signal) -> SignalScore:
    """`signal`, which was judged, as a metric with its test."""
    assert signal.value is not None
    assert signal.threshold is not None
    assert signal.p_adjusted is not None
    test = WithinChance(threshold=signal.threshold, p_adjusted=signal.p_adjusted, words=signal.words)
    return SignalScore(title=signal.title, score=signal.value, tests=[test])
