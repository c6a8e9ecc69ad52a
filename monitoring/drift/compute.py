"""Measure every registered drift signal of a window and decide over all of them with Holm's correction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from monitoring.alarm_levels import AlarmLevels
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
    *,
    levels: AlarmLevels | None = None,
    only: Collection[str] | None = None,
) -> tuple[Drift, list[Comparison]]:
    """Compare a window with the reference; at most MONITORING_MAX_TEXTS rows of the reference are used.

    Args:
        reference: columns as in `classifier.reference`.
        window: what is compared with it.
        settings: sizes and alpha.
        rng: of the permutations.
        step: called with the current step.
        levels: of an alarm; None: the signals get no evidence.
        only: names of the signals that are measured; None: all.

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
        _cache_folder(settings),
    )
    for signal in (kind() for name, kind in signals().items() if only is None or name in only):
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
    alpha = settings.monitoring_alpha
    decisions = _decide(data.comparisons, alpha)
    measured = [_measured(item, decisions.get(item.name)) for item in data.comparisons]
    if levels is not None:
        at_once = _decide(data.comparisons, levels.at_once)
        repeated = _decide(data.comparisons, levels.repeated)
        measured = [_with_evidence(signal, repeated, at_once) for signal in measured]
    breached = {signal.name for signal in measured if signal.status == "breach"}
    part = next((item.part for item in data.comparisons if item.part and item.name in breached), None)
    drift = Drift(
        status=drift_status(measured),
        alpha=settings.monitoring_alpha,
        signals=measured,
        changed_part=part,
        repeats=_repeats(window),
    )
    return drift, data.comparisons


def _cache_folder(settings: MonitoringSettings) -> Path | None:
    with suppress(OSError):  # a check can be made where nothing can be kept
        return settings.folder("cache")
    return None


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


def drift_status(measured: Sequence[Signal]) -> Status:
    """The status of all signals together."""
    if any(signal.status == "breach" for signal in measured):
        return "breach"
    # An unchanged latency says nothing about the texts.
    judged = any(signal.status == "ok" for signal in measured if not is_of_service(signal.name))
    return "ok" if judged else "insufficient_data"


@dataclass(frozen=True, slots=True)
class _Decision:
    """Of one signal at one alpha over all signals."""

    p_adjusted: float
    threshold: float
    breach: bool


def _decide(comparisons: Sequence[Comparison], alpha: float) -> dict[str, _Decision]:
    """The decisions on all signals that have a score, by name."""
    scored = [(item, item.score) for item in comparisons if item.score is not None]
    adjusted, levels = holm(
        [score.p_value for _, score in scored], alpha, shares_of_alpha([item.signal for item, _ in scored])
    )
    decisions = {}
    for (item, score), p_adjusted, level in zip(scored, adjusted, levels, strict=True):
        threshold = max(item.floor, score.critical(level))
        if not is_of_service(item.name):  # of the service the reference is other windows
            unchanged = item.signal.score_without_change
            sizes = len(item.reference), len(item.window)
            threshold = max(threshold, lasting_threshold(score, level, *sizes, unchanged))
        breach = p_adjusted <= alpha and score.value >= threshold
        decisions[item.name] = _Decision(p_adjusted, threshold, breach)
    return decisions


def _measured(item: Comparison, decision: _Decision | None) -> Signal:
    facts = {
        "name": item.name,
        "title": item.title,
        "measure": item.signal.measure,
        "floor": item.floor,
        "reference_texts": len(item.reference),
        "window_texts": len(item.window),
    }
    if item.score is None or decision is None:
        if item.enough:
            return Signal(status="not_measured", words=item.problem, **facts)
        words = item.problem or item.signal.describe_too_few(item)
        return Signal(status="insufficient_data", words=words, **facts)
    return Signal(
        status="breach" if decision.breach else "ok",
        value=item.score.value,
        threshold=decision.threshold,
        p_value=item.score.p_value,
        p_adjusted=decision.p_adjusted,
        words=item.signal.describe(item),
        **facts,
    )


def _with_evidence(
    signal: Signal, repeated: Mapping[str, _Decision], at_once: Mapping[str, _Decision]
) -> Signal:
    if signal.name not in repeated:
        return signal
    evidence = (
        "none"
        if signal.status != "breach"
        else "at_once"
        if at_once[signal.name].breach
        else "if_repeated"
        if repeated[signal.name].breach
        else "none"
    )
    return signal.model_copy(update={"evidence": evidence})
