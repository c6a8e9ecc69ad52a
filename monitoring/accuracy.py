"""Accuracy, macro-F1 and F1 by class, with intervals, where labels came back.

A breach is what the labels *prove*: the whole interval lies beyond the threshold. A few unlucky labels widen the
interval and alarm nobody.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from monitoring.settings import MonitoringSettings
from monitoring.verdict import Accuracy, ClassScore, Estimate, Status
from stores.predictions import Outcome

_DRAWS = 20_000
_MIN_LABELS_OF_CLASS = 10


def judge_accuracy(
    outcomes: Sequence[Outcome],
    *,
    predictions: int,
    labels: Sequence[str],
    reference: pd.DataFrame,
    confidences: Sequence[float],
    settings: MonitoringSettings,
    rng: np.random.Generator,
) -> Accuracy:
    """Judge a window's labelled predictions.

    Args:
        outcomes: their confusion table.
        predictions: all predictions of the window, labelled or not.
        labels: the model's classes.
        reference: its reference profile, with `label` and `predicted`.
        confidences: probabilities of the predicted labels, of the sample.
        settings: thresholds.
        rng: for the intervals of F1.
    """
    labelled = sum(outcome.count for outcome in outcomes)
    right = sum(outcome.count for outcome in outcomes if outcome.label == outcome.true_label)
    reference_right = int((reference["label"] == reference["predicted"]).sum())
    facts = {
        "labelled": labelled,
        "coverage": labelled / predictions if predictions else 0.0,
        "mean_lag_seconds": sum(o.mean_lag * o.count for o in outcomes) / labelled if labelled else None,
        "confidence_level": 1 - settings.monitoring_alpha,
        "reference_accuracy": reference_right / len(reference),
        "expected_accuracy": float(np.mean(confidences)) if len(confidences) else None,
    }
    if labelled < settings.monitoring_min_labels:
        words = (
            f"{labelled} of {predictions} predictions have a label; "
            f"{settings.monitoring_min_labels} are needed to judge accuracy."
        )
        return Accuracy(
            status="insufficient_data",
            accuracy=None,
            macro_f1=None,
            fall=None,
            classes=[],
            words=words,
            **facts,
        )
    accuracy = wilson(right, labelled, settings.monitoring_alpha)
    fall = _difference(wilson(reference_right, len(reference), settings.monitoring_alpha), accuracy)
    macro, classes = _f1_scores(outcomes, labels, reference, settings, rng)
    failures = _failures(accuracy, fall, macro, classes, settings)
    words = f"Accuracy {accuracy.value:.1%} on {labelled} labels ({_interval(accuracy)})."
    return Accuracy(
        status="breach" if failures else "ok",
        accuracy=accuracy,
        macro_f1=macro,
        fall=fall,
        classes=classes,
        words=" ".join([*failures, *([] if failures else [words])]),
        **facts,
    )


def wilson(right: int, total: int, alpha: float) -> Estimate:
    """A share with its Wilson interval (1927) of level 1 − `alpha`, which holds at 0 and at 1 and for few rows."""
    z = float(norm.isf(alpha / 2))
    share = right / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * np.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return Estimate(value=share, low=max(0.0, float(middle - half)), high=min(1.0, float(middle + half)))


def _difference(first: Estimate, second: Estimate) -> Estimate:
    """`first` − `second` of independent shares, by Newcombe's interval (1998) from their Wilson intervals."""
    value = first.value - second.value
    down = np.hypot(first.value - first.low, second.high - second.value)
    up = np.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value=value, low=float(value - down), high=float(value + up))


def _f1_scores(
    outcomes: Sequence[Outcome],
    labels: Sequence[str],
    reference: pd.DataFrame,
    settings: MonitoringSettings,
    rng: np.random.Generator,
) -> tuple[Estimate, list[ClassScore]]:
    names = [*labels, *sorted({o.true_label for o in outcomes} | {o.label for o in outcomes} - set(labels))]
    names = list(dict.fromkeys(names))
    index = {name: position for position, name in enumerate(names)}
    table = np.zeros((len(names), len(names)), dtype=np.int64)  # rows: true, columns: predicted
    for outcome in outcomes:
        table[index[outcome.true_label], index[outcome.label]] += outcome.count
    point = _f1(table[None])[0]
    drawn = _f1_posterior(table, rng)
    # Classes that neither occur nor are predicted say nothing of macro-F1.
    alpha = settings.monitoring_alpha
    macro = _around(float(np.nanmean(point)), drawn[:, ~np.isnan(point)].mean(axis=1), alpha)
    reference_table = pd.crosstab(reference["label"], reference["predicted"])
    reference_table = reference_table.reindex(index=names, columns=names, fill_value=0)
    reference_f1 = _f1(reference_table.to_numpy()[None])[0]
    classes = []
    for position, name in enumerate(names):
        score = None
        if not np.isnan(point[position]):
            # Every class is another chance to be wrong.
            score = _around(float(point[position]), drawn[:, position], alpha / len(names))
        before = None if np.isnan(reference_f1[position]) else float(reference_f1[position])
        of_class = int(table[position].sum())
        status: Status = "insufficient_data"
        if score is not None and before is not None and of_class >= _MIN_LABELS_OF_CLASS:
            fell = score.high < before - settings.monitoring_max_class_fall
            status = "breach" if fell else "ok"
        classes.append(
            ClassScore(
                label=name,
                known=name in labels,
                labelled=of_class,
                f1=score,
                reference_f1=before,
                status=status,
            )
        )
    return macro, classes


def _f1_posterior(table: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.float64]:
    """What F1 of each class may be, given one confusion table; (_DRAWS, k).

    F1 depends on hits and errors alone, so it has a Beta posterior behind it (Goutte and Gaussier 2005). A bootstrap
    would be certain of a class that happened to be all right: no error can be resampled from none.
    """
    hits = np.diagonal(table)
    errors = table.sum(axis=0) + table.sum(axis=1) - 2 * hits
    share = rng.beta(hits + 0.5, errors + 0.5, size=(_DRAWS, len(table)))
    posterior: NDArray[np.float64] = 2 * share / (1 + share)
    return posterior


def _around(value: float, draws: NDArray[np.float64], alpha: float) -> Estimate:
    low, high = np.quantile(draws, [alpha / 2, 1 - alpha / 2])
    return Estimate(value=value, low=min(value, float(low)), high=max(value, float(high)))


def _f1(tables: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 of each class of (n, k, k) confusion tables; (n, k), NaN where a class is neither true nor predicted."""
    hits = np.diagonal(tables, axis1=1, axis2=2).astype(np.float64)
    involved = tables.sum(axis=1) + tables.sum(axis=2)
    scores: NDArray[np.float64] = np.divide(
        2 * hits, involved, out=np.full_like(hits, np.nan), where=involved > 0
    )
    return scores


def _failures(
    accuracy: Estimate,
    fall: Estimate,
    macro: Estimate,
    classes: Sequence[ClassScore],
    settings: MonitoringSettings,
) -> list[str]:
    failures = []
    if accuracy.high < settings.monitoring_min_accuracy:
        failures.append(
            f"Accuracy is {accuracy.value:.1%} ({_interval(accuracy)}), below {settings.monitoring_min_accuracy:.0%}."
        )
    if fall.low > settings.monitoring_max_accuracy_fall:
        failures.append(
            f"Accuracy fell by {100 * fall.value:.1f} points since registration ({100 * fall.low:.1f} to "
            f"{100 * fall.high:.1f}), more than {100 * settings.monitoring_max_accuracy_fall:.0f}."
        )
    if macro.high < settings.monitoring_min_macro_f1:
        failures.append(
            f"Macro-F1 is {macro.value:.2f} ({macro.low:.2f} to {macro.high:.2f}), "
            f"below {settings.monitoring_min_macro_f1:.2f}."
        )
    for score in classes:
        if score.status == "breach" and score.f1 is not None and score.reference_f1 is not None:
            failures.append(
                f"F1 of {score.label} fell from {score.reference_f1:.2f} to {score.f1.value:.2f} "
                f"({score.f1.low:.2f} to {score.f1.high:.2f})."
            )
    return failures


def _interval(estimate: Estimate) -> str:
    return f"{estimate.low:.1%} to {estimate.high:.1%}"
