"""Measure every registered drift signal of a window and decide over all of them with Holm's correction."""

from __future__ import annotations

import numpy as np
import pandas as pd

from monitoring.drift.permutation import PermutationSampler, holm
from monitoring.drift.signal import Comparison, DriftData, NotComparable, is_of_service, signals
from monitoring.progress import Step, silent
from monitoring.settings import MonitoringSettings
from monitoring.verdict import Drift, Signal, Status
from monitoring.window import Window

_SEED = 20
"""Every check is compared with the same part of a large reference."""

_NOT_STORED = "The texts of the window are not stored (STORE_TEXT), or were removed by the retention policy."


def measure_drift(
    reference: pd.DataFrame,
    window: Window,
    settings: MonitoringSettings,
    rng: np.random.Generator,
    step: Step = silent,
) -> tuple[Drift, list[Comparison]]:
    """Compare a window with the reference; at most MONITORING_MAX_TEXTS rows of the reference are used.

    Returns:
        The decision, and both sides' values of every signal for the pictures.
    """
    if len(reference) > settings.monitoring_max_texts:
        reference = reference.sample(settings.monitoring_max_texts, random_state=_SEED)
    step("Describing texts")
    data = DriftData(
        reference.assign(text=reference["text"].str.slice(0, window.characters)),
        window,
        settings.monitoring_min_texts,
        PermutationSampler(settings.monitoring_permutations, rng),
    )
    for signal in (kind() for kind in signals().values()):
        sides = signal.sides(data)
        if sides is None:
            continue
        problem = _NOT_STORED if signal.lacks_texts(window) else ""
        data.comparisons.append(Comparison(signal, sides, signal.floor(data), data.minimum, problem=problem))
    for comparison in data.comparisons:
        if not comparison.enough or comparison.problem:
            continue
        step(f"Permutation test: {comparison.title.lower()}")
        try:
            comparison.score = comparison.signal.score(comparison, data)
        except NotComparable as error:
            comparison.problem = str(error)
    scored = [item.score for item in data.comparisons if item.score is not None]
    adjusted, level = holm([score.p_value for score in scored], settings.monitoring_alpha)
    of_score = dict(zip(map(id, scored), adjusted, strict=True))
    measured = [
        _measured(item, of_score.get(id(item.score)), level, settings.monitoring_alpha)
        for item in data.comparisons
    ]
    drift = Drift(status=_status(measured), alpha=settings.monitoring_alpha, signals=measured)
    return drift, data.comparisons


def _status(measured: list[Signal]) -> Status:
    if any(signal.status == "breach" for signal in measured):
        return "breach"
    # An unchanged latency says nothing about the texts.
    judged = any(signal.status == "ok" for signal in measured if not is_of_service(signal.name))
    return "ok" if judged else "insufficient_data"


def _measured(item: Comparison, adjusted: float | None, level: float, alpha: float) -> Signal:
    facts = {
        "name": item.name,
        "title": item.title,
        "measure": item.signal.measure,
        "floor": item.floor,
        "reference_texts": len(item.reference),
        "window_texts": len(item.window),
    }
    if item.score is None or adjusted is None:
        if item.enough:
            return Signal(status="not_measured", words=item.problem, **facts)
        words = item.problem or item.signal.describe_too_few(item)
        return Signal(status="insufficient_data", words=words, **facts)
    breach = adjusted <= alpha and item.score.value >= item.floor
    return Signal(
        status="breach" if breach else "ok",
        value=item.score.value,
        threshold=max(item.floor, item.score.critical(level)),
        p_value=item.score.p_value,
        p_adjusted=adjusted,
        words=item.signal.describe(item),
        **facts,
    )
