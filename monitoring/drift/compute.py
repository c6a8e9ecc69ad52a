"""Measure every registered drift signal of a window and decide over all of them with Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from monitoring.drift.permutation import PermutationSampler, holm
from monitoring.drift.reference_error import lasting_threshold
from monitoring.drift.signal import (
    Comparison,
    DriftData,
    DriftSignal,
    NotComparable,
    is_of_service,
    signals,
)
from monitoring.progress import Step, silent
from monitoring.settings import MonitoringSettings
from monitoring.verdict import Drift, Repeats, Signal, Status
from monitoring.window import Window

_SEED = 20
"""Every check is compared with the same part of a large reference."""

MANY_REPEATS = 0.2
"""Share of the predictions that repeat a text from which the verdict says so."""

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
    whole = reference
    if len(reference) > settings.monitoring_max_texts:
        reference = reference.sample(settings.monitoring_max_texts, random_state=_SEED)
    step("Describing texts")
    data = DriftData(
        reference.assign(text=reference["text"].str.slice(0, window.characters)),
        window,
        settings.monitoring_min_texts,
        PermutationSampler(settings.monitoring_permutations, rng),
        whole,
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
    scored = [item for item in data.comparisons if item.score is not None]
    adjusted, levels = holm(
        [item.score.p_value for item in scored if item.score],
        settings.monitoring_alpha,
        shares_of_alpha([item.signal for item in scored]),
    )
    decided: dict[str, tuple[float | None, float]] = {
        item.name: (p_value, level) for item, p_value, level in zip(scored, adjusted, levels, strict=True)
    }
    measured = []
    for item in data.comparisons:
        p_value, level = decided.get(item.name, (None, 1.0))
        measured.append(_measured(item, p_value, level, settings.monitoring_alpha))
    breached = {signal.name for signal in measured if signal.status == "breach"}
    part = next((item.part for item in data.comparisons if item.part and item.name in breached), None)
    drift = Drift(
        status=_status(measured),
        alpha=settings.monitoring_alpha,
        signals=measured,
        changed_part=part,
        repeats=_repeats(window),
    )
    return drift, data.comparisons


def _repeats(window: Window) -> Repeats:
    read = max(1, window.sampled)
    largest_id, largest = window.largest_repeat or (None, 0)
    share = window.repeated / read
    return Repeats(
        status="many" if share >= MANY_REPEATS else "ok",
        share=share,
        largest=largest / read,
        largest_id=largest_id,
    )


def shares_of_alpha(measured: Sequence[DriftSignal]) -> list[float]:
    """What each signal gets of alpha: what it claims, or an equal part of the rest."""
    claimed = [signal.alpha_share for signal in measured]
    left = max(0.0, 1 - sum(share for share in claimed if share is not None))
    return [left / claimed.count(None) if share is None else share for share in claimed]


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
    threshold = max(item.floor, item.score.critical(level))
    if not is_of_service(item.name):  # of the service the reference is other windows
        threshold = max(
            threshold,
            lasting_threshold(
                item.score, level, len(item.reference), len(item.window), item.signal.score_without_change
            ),
        )
    breach = adjusted <= alpha and item.score.value >= threshold
    return Signal(
        status="breach" if breach else "ok",
        value=item.score.value,
        threshold=threshold,
        p_value=item.score.p_value,
        p_adjusted=adjusted,
        words=item.signal.describe(item),
        **facts,
    )
