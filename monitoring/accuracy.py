"""Accuracy, macro-F1 and F1 by class, with intervals, where labels came back.

A breach is what the labels *prove*: the whole interval lies beyond the threshold. A few unlucky labels widen the
interval and alarm nobody. Labels that came as they came are counted as they are; where the label queue chose enough
of them, they are weighed by their probabilities instead (`monitoring.sampling`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from monitoring.intervals import Counts, around, around_all, difference, f1_of, f1_posterior, wilson
from monitoring.sampling import Corrected, QueueLabels, corrected_table
from monitoring.settings import MonitoringSettings
from monitoring.verdict import Accuracy, ClassScore, Estimate, Sampling, Status
from stores.predictions import Outcome

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
    queue: QueueLabels | None = None,
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
        queue: those of the labels that the label queue asked for.
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
    seen = {name for o in outcomes for name in (o.label, o.true_label)}
    seen |= {name for o in (queue.outcomes if queue else ()) for name in (o.label, o.true_label)}
    names = list(dict.fromkeys([*labels, *sorted(seen)]))
    table = _table(outcomes, names)
    accuracy = wilson(right, labelled, settings.monitoring_alpha)
    sampling, corrected = None, None
    if queue is not None and len(queue.outcomes) >= settings.monitoring_min_labels:
        corrected = corrected_table(queue, names, rng)
        sampling = Sampling(
            batches=len(queue.progress),
            labelled=len(queue.outcomes),
            effective_labels=corrected.effective,
            covered=queue.covered / predictions if predictions else 0.0,
            as_they_came=accuracy,
        )
        accuracy = _corrected_accuracy(corrected, settings.monitoring_alpha)
    fall = difference(wilson(reference_right, len(reference), settings.monitoring_alpha), accuracy)
    macro, classes = _f1_scores(table, corrected, names, labels, reference, settings, rng)
    failures = _failures(accuracy, fall, macro, classes, settings)
    counted = "" if sampling else f" on {labelled} labels"
    calm = [f"Accuracy {accuracy.value:.1%}{counted} ({_interval(accuracy)})."]
    return Accuracy(
        status="breach" if failures else "ok",
        accuracy=accuracy,
        macro_f1=macro,
        fall=fall,
        classes=classes,
        failures=failures,
        sampling=sampling,
        words=" ".join([*(failures or calm), *corrected_words(sampling)]),
        **facts,
    )


def _corrected_accuracy(corrected: Corrected, alpha: float) -> Estimate:
    """The wider of two intervals: the bootstrap knows how weights and errors go together, and nothing of errors that
    were not seen; Wilson's knows those."""
    right = float(np.trace(corrected.table))
    wide = wilson(right, corrected.effective, alpha)
    drawn = around(wide.value, np.trace(corrected.drawn, axis1=1, axis2=2), alpha)
    return Estimate(value=wide.value, low=min(wide.low, drawn.low), high=max(wide.high, drawn.high))


def corrected_words(sampling: Sampling | None) -> list[str]:
    """Sentences on how accuracy was corrected; none where it was not."""
    if sampling is None:
        return []
    words = [
        f"Accuracy is corrected for who was labelled: {sampling.labelled} labels of texts that the label queue chose, "
        f"weighed by their probabilities; counted as they came, the labels would say "
        f"{sampling.as_they_came.value:.1%}."
    ]
    if sampling.covered < 0.95:
        words.append(f"It speaks for the {sampling.covered:.0%} of the window that the queue has seen.")
    return words


def _table(outcomes: Sequence[Outcome], names: Sequence[str]) -> NDArray[np.int64]:
    """Confusion table; rows true, columns predicted."""
    index = {name: position for position, name in enumerate(names)}
    table = np.zeros((len(names), len(names)), dtype=np.int64)
    for outcome in outcomes:
        table[index[outcome.true_label], index[outcome.label]] += outcome.count
    return table


def _f1_scores(
    counted: NDArray[np.int64],
    corrected: Corrected | None,
    names: Sequence[str],
    labels: Sequence[str],
    reference: pd.DataFrame,
    settings: MonitoringSettings,
    rng: np.random.Generator,
) -> tuple[Estimate, list[ClassScore]]:
    table: Counts = counted if corrected is None else corrected.table
    point = f1_of(table[None])[0]
    draws = [f1_posterior(table, rng)]
    if corrected is not None:
        draws.append(np.nan_to_num(f1_of(corrected.drawn)))
    # Classes that neither occur nor are predicted say nothing of macro-F1.
    alpha = settings.monitoring_alpha
    macro = around_all(
        float(np.nanmean(point)), [drawn[:, ~np.isnan(point)].mean(axis=1) for drawn in draws], alpha
    )
    reference_table = pd.crosstab(reference["label"], reference["predicted"])
    reference_table = reference_table.reindex(index=names, columns=names, fill_value=0)
    reference_f1 = f1_of(reference_table.to_numpy()[None])[0]
    classes = []
    for position, name in enumerate(names):
        score = None
        if not np.isnan(point[position]):
            # Every class is another chance to be wrong.
            of_name = [drawn[:, position] for drawn in draws]
            score = around_all(float(point[position]), of_name, alpha / len(names))
        before = None if np.isnan(reference_f1[position]) else float(reference_f1[position])
        of_class = int(counted[position].sum())
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
