"""Accuracy, macro-F1 and F1 by class, with intervals, where labels came back.

A breach is significant: the whole interval is beyond the threshold. With few labels the interval is wide and there is
no alarm. The floors of accuracy and macro-F1 follow from what the version reached on its held-out
texts when it was registered, unless they are set. Labels that came as they came are counted as they are; where the
label queue chose enough of them, they are weighed by their probabilities instead (`monitoring.labels.weighting`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from monitoring.labels.weighting import Corrected, QueueLabels, corrected_table
from monitoring.settings import MonitoringSettings
from monitoring.verdict import Accuracy, ClassScore, Estimate, ExpectedAccuracy, Floor, Sampling, Status
from stores.predictions import Outcome

_MIN_LABELS_OF_CLASS = 10


def judge_accuracy(
    outcomes: Sequence[Outcome],
    *,
    predictions: int,
    labels: Sequence[str],
    reference: pd.DataFrame,
    expected: ExpectedAccuracy | None,
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
        expected: what the probabilities of the window's answers let expect.
        settings: thresholds.
        rng: for the intervals of F1.
        queue: those of the labels that the label queue asked for.
    """
    labelled = sum(outcome.count for outcome in outcomes)
    right = sum(outcome.count for outcome in outcomes if outcome.label == outcome.true_label)
    reference_right = int((reference["label"] == reference["predicted"]).sum())
    floors = accuracy_floors(reference, settings, rng.spawn(1)[0])
    facts = {
        "labelled": labelled,
        "coverage": labelled / predictions if predictions else 0.0,
        "mean_lag_seconds": sum(o.mean_lag * o.count for o in outcomes) / labelled if labelled else None,
        "confidence_level": 1 - settings.monitoring_alpha,
        "reference_accuracy": reference_right / len(reference),
        "accuracy_floor": floors[0],
        "macro_f1_floor": floors[1],
        "expected_accuracy": expected.estimate.value if expected and expected.estimate else None,
        "expected": expected,
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
    accuracy = wilson_interval(right, labelled, settings.monitoring_alpha)
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
    fall = difference(wilson_interval(reference_right, len(reference), settings.monitoring_alpha), accuracy)
    macro, classes = _f1_scores(table, corrected, names, labels, reference, settings, rng)
    failures = _failures(accuracy, fall, macro, classes, floors, settings)
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


def accuracy_floors(
    reference: pd.DataFrame, settings: MonitoringSettings, rng: np.random.Generator
) -> tuple[Floor, Floor]:
    """The floors of accuracy and of macro-F1.

    Where the settings give none: the lower end of the interval of what the version reached on its held-out texts, less
    the tolerated fall. So unchanged traffic is not in breach however hard the problem is, and the floor is never
    stricter than MONITORING_MAX_ACCURACY_FALL.

    Args:
        reference: its reference profile, with `label` and `predicted`.
        settings: floors, if given, and the tolerated fall.
        rng: for the interval of macro-F1.
    """
    alpha = settings.monitoring_alpha
    names = sorted({*reference["label"], *reference["predicted"]})
    table = pd.crosstab(reference["label"], reference["predicted"])
    counts = table.reindex(index=names, columns=names, fill_value=0).to_numpy()
    accuracy = wilson_interval(int(np.trace(counts)), len(reference), alpha)
    macro = interval_around(
        float(np.nanmean(f1_scores(counts[None])[0])), f1_posterior(counts, rng).mean(axis=1), alpha
    )
    tolerated = settings.monitoring_max_accuracy_fall

    def floor(given: float | None, reached: Estimate) -> Floor:
        if given is not None:
            return Floor(value=given, by="setting", reached=reached)
        return Floor(value=max(0.0, reached.low - tolerated), by="registration", reached=reached)

    return floor(settings.monitoring_min_accuracy, accuracy), floor(settings.monitoring_min_macro_f1, macro)


def _corrected_accuracy(corrected: Corrected, alpha: float) -> Estimate:
    """The wider of two intervals: the bootstrap knows how weights and errors go together, and nothing of errors that
    were not seen; Wilson's knows those."""
    right = float(np.trace(corrected.table))
    wide = wilson_interval(right, corrected.effective, alpha)
    drawn = interval_around(wide.value, np.trace(corrected.drawn, axis1=1, axis2=2), alpha)
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
    point = f1_scores(table[None])[0]
    draws = [f1_posterior(table, rng)]
    if corrected is not None:
        draws.append(np.nan_to_num(f1_scores(corrected.drawn)))
    # Classes that neither occur nor are predicted say nothing of macro-F1.
    alpha = settings.monitoring_alpha
    macro = widest_interval(
        float(np.nanmean(point)), [drawn[:, ~np.isnan(point)].mean(axis=1) for drawn in draws], alpha
    )
    reference_table = pd.crosstab(reference["label"], reference["predicted"])
    reference_table = reference_table.reindex(index=names, columns=names, fill_value=0)
    reference_f1 = f1_scores(reference_table.to_numpy()[None])[0]
    classes = []
    for position, name in enumerate(names):
        score = None
        if not np.isnan(point[position]):
            # Every class is another chance to be wrong.
            of_name = [drawn[:, position] for drawn in draws]
            score = widest_interval(float(point[position]), of_name, alpha / len(names))
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
    floors: tuple[Floor, Floor],
    settings: MonitoringSettings,
) -> list[str]:
    failures = []
    accuracy_floor, macro_floor = floors
    if accuracy.high < accuracy_floor.value:
        failures.append(
            f"Accuracy is {accuracy.value:.1%} ({_interval(accuracy)}), below {accuracy_floor.value:.1%}"
            + _origin(accuracy_floor, f"{accuracy_floor.reached.value:.1%}")
        )
    if fall.low > settings.monitoring_max_accuracy_fall:
        failures.append(
            f"Accuracy fell by {100 * fall.value:.1f} points since registration ({100 * fall.low:.1f} to "
            f"{100 * fall.high:.1f}), more than {100 * settings.monitoring_max_accuracy_fall:.0f}."
        )
    if macro.high < macro_floor.value:
        failures.append(
            f"Macro-F1 is {macro.value:.2f} ({macro.low:.2f} to {macro.high:.2f}), below {macro_floor.value:.2f}"
            + _origin(macro_floor, f"{macro_floor.reached.value:.2f}")
        )
    for score in classes:
        if score.status == "breach" and score.f1 is not None and score.reference_f1 is not None:
            failures.append(
                f"F1 of {score.label} fell from {score.reference_f1:.2f} to {score.f1.value:.2f} "
                f"({score.f1.low:.2f} to {score.f1.high:.2f})."
            )
    return failures


def _origin(floor: Floor, reached: str) -> str:
    if floor.by == "setting":
        return ", the floor that is set."
    return f", the floor that follows from the {reached} at registration."


def _interval(estimate: Estimate) -> str:
    return f"{estimate.low:.1%} to {estimate.high:.1%}"


Counts = NDArray[np.int64] | NDArray[np.float64]
"""A confusion table, rows true, columns predicted; weighed ones are no whole numbers."""
_DRAWS = 20_000


def wilson_interval(right: float, total: float, alpha: float) -> Estimate:
    """A share with its Wilson interval (1927) of level 1 − `alpha`, which holds at 0 and at 1 and for few rows."""
    z = -float(ndtri(alpha / 2))
    share = right / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * np.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return Estimate(value=share, low=max(0.0, float(middle - half)), high=min(1.0, float(middle + half)))


def difference(first: Estimate, second: Estimate) -> Estimate:
    """`first` − `second` of independent shares, by Newcombe's interval (1998) from their Wilson intervals."""
    value = first.value - second.value
    down = np.hypot(first.value - first.low, second.high - second.value)
    up = np.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value=value, low=float(value - down), high=float(value + up))


def f1_posterior(table: Counts, rng: np.random.Generator) -> NDArray[np.float64]:
    """What F1 of each class may be, given one confusion table; (_DRAWS, k).

    F1 depends on hits and errors alone, so it has a Beta posterior behind it (Goutte and Gaussier 2005). A bootstrap
    would be certain of a class that happened to be all right: no error can be resampled from none.
    """
    hits = np.diagonal(table).astype(np.float64)
    errors = table.sum(axis=0) + table.sum(axis=1) - 2 * hits
    share = rng.beta(hits + 0.5, errors + 0.5, size=(_DRAWS, len(table)))
    posterior: NDArray[np.float64] = 2 * share / (1 + share)
    return posterior


def interval_around(value: float, draws: NDArray[np.float64], alpha: float) -> Estimate:
    """A figure with the interval of level 1 − `alpha` that draws of it give; the figure itself lies within."""
    low, high = np.quantile(draws, [alpha / 2, 1 - alpha / 2])
    return Estimate(value=value, low=min(value, float(low)), high=max(value, float(high)))


def widest_interval(value: float, draws: Sequence[NDArray[np.float64]], alpha: float) -> Estimate:
    """The widest of the intervals from several kinds of draws."""
    found = [interval_around(value, drawn, alpha) for drawn in draws]
    return Estimate(value=value, low=min(e.low for e in found), high=max(e.high for e in found))


def f1_scores(tables: Counts) -> NDArray[np.float64]:
    """F1 of each class of (n, k, k) confusion tables; (n, k), NaN where a class is neither true nor predicted."""
    hits = np.diagonal(tables, axis1=1, axis2=2).astype(np.float64)
    involved = tables.sum(axis=1) + tables.sum(axis=2)
    scores: NDArray[np.float64] = np.divide(
        2 * hits, involved, out=np.full_like(hits, np.nan), where=involved > 0
    )
    return scores
