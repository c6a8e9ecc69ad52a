"""Every drift signal of a window: its score, what chance gives at this size, and the decision over all of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache

import numpy as np
import pandas as pd

from monitoring.latencies import Latencies
from monitoring.settings import MonitoringSettings
from monitoring.signals.chance import Draws, Floats, Score, categorical_score, holm, numeric_scores
from monitoring.signals.comparison import OF_THE_SERVICE, TITLES, Comparison, NothingToCompare
from monitoring.signals.content import content_score
from monitoring.signals.embedding import (
    classes_of,
    embedding_score,
    logged_probabilities,
    reference_probabilities,
)
from monitoring.signals.languages import languages_of
from monitoring.signals.latency import latency_floor, latency_score
from monitoring.signals.sentences import in_words, too_few
from monitoring.signals.texts import DESCRIPTORS, describe, measured_reference
from monitoring.verdict import Drift, Signal, Status
from monitoring.window import Window

_SEED = 20
"""Every check is held against the same part of a large reference."""

_DEAR_TEXTS = 500
"""Texts of each side whose language is guessed, which costs as much as all else that is measured of a text."""


def measure_drift(
    reference: pd.DataFrame, window: Window, settings: MonitoringSettings, rng: np.random.Generator
) -> tuple[Drift, list[Comparison]]:
    """Judge a window against the reference, of which no more is read than of a window.

    Returns:
        The judgement, and both sides' values of every signal for pictures.
    """
    if len(reference) > settings.monitoring_max_texts:
        reference = reference.sample(settings.monitoring_max_texts, random_state=_SEED)
    found = {item.name: item for item in _comparisons(reference, window, settings, rng)}
    if window.latencies is not None:
        item = _latency(window.latencies, settings)
        found[item.name] = item
    comparisons = [found[name] for name in TITLES if name in found]
    for item in comparisons:
        if not item.enough:
            continue
        try:
            item.score = item.compute()
        except NothingToCompare as error:
            item.problem = str(error)
    scored = [item.score for item in comparisons if item.score is not None]
    adjusted, level = holm([score.p_value for score in scored], settings.monitoring_alpha)
    of_score = dict(zip(map(id, scored), adjusted, strict=True))
    signals = [
        _signal(item, of_score.get(id(item.score)), level, settings.monitoring_alpha) for item in comparisons
    ]
    return Drift(status=_status(signals), alpha=settings.monitoring_alpha, signals=signals), comparisons


def _status(signals: list[Signal]) -> Status:
    if any(signal.status == "breach" for signal in signals):
        return "breach"
    # That the service is as quick as ever says nothing about its texts.
    judged = any(signal.status == "ok" for signal in signals if signal.name not in OF_THE_SERVICE)
    return "ok" if judged else "insufficient_data"


def _comparisons(
    reference: pd.DataFrame, window: Window, settings: MonitoringSettings, rng: np.random.Generator
) -> Iterator[Comparison]:
    minimum = settings.monitoring_min_texts
    draws = Draws(settings.monitoring_permutations, rng)
    texts = list(reference["text"])
    novel = [row.text for row in window.novel]

    yield Comparison(
        "text_content",
        "texts",
        texts,
        novel,
        "AUC of a classifier that tells reference from live texts",
        settings.monitoring_min_text_auc,
        minimum,
        lambda: content_score(texts, novel),
    )
    numbers = _numbers(texts, novel, reference, window)

    @cache
    def numeric() -> dict[str, Score]:
        """All that can be judged, together, which is cheaper than one by one."""
        return numeric_scores(
            {name: sides for name, sides in numbers.items() if min(map(len, sides)) >= minimum}, draws
        )

    for name, (old, new) in numbers.items():
        yield Comparison(
            name,
            "numbers",
            old,
            new,
            "Wasserstein distance, in standard deviations of the reference",
            settings.monitoring_min_numeric_shift,
            minimum,
            lambda name=name: numeric()[name],  # type: ignore[misc]
        )
    live = [row.text for row in window.distinct]
    mixes = {
        "language": (
            languages_of(_some(texts)),
            languages_of(_some(live)),
            settings.monitoring_min_language_shift,
        ),
        "predicted_label": (
            list(reference["predicted"]),
            [row.label for row in window.answers],
            settings.monitoring_min_label_shift,
        ),
    }
    for name, (before, now, floor) in mixes.items():
        yield Comparison(
            name,
            "mix",
            before,
            now,
            "Jensen-Shannon distance",
            floor,
            minimum,
            lambda before=before, now=now: categorical_score(before, now, draws),  # type: ignore[misc]
        )
    classes = classes_of(reference)
    probabilities = (
        reference_probabilities(reference),
        logged_probabilities([row.scores for row in window.answers], classes),
    )
    yield Comparison(
        "embedding",
        "points",
        *probabilities,
        "Maximum mean discrepancy of the log-probabilities of all classes",
        settings.monitoring_min_embedding_shift,
        minimum,
        lambda: _embedding_score(*probabilities, draws),
        classes,
    )


def _latency(found: Latencies, settings: MonitoringSettings) -> Comparison:
    floor = latency_floor(found, settings.monitoring_min_latency_ratio, settings.monitoring_min_latency_rise)
    return Comparison(
        "service_latency",
        "times",
        1000 * found.before,
        1000 * found.now,
        "What nine of ten answers take at most, as a multiple of the days before",
        floor,
        settings.monitoring_min_texts,
        # With luck of its own: what is found of the texts does not depend on whether there are times.
        lambda: latency_score(found, settings.monitoring_permutations, np.random.default_rng(_SEED)),
    )


def _some(texts: list[str]) -> list[str]:
    """An even part of the texts, for what is dear to find out of each."""
    return texts[:: math.ceil(len(texts) / _DEAR_TEXTS) or 1]


def _numbers(
    texts: list[str], novel: list[str], reference: pd.DataFrame, window: Window
) -> dict[str, tuple[Floats, Floats]]:
    vocabulary, unseen, before = measured_reference(tuple(texts))
    now = describe([row.text for row in window.distinct])
    return {
        "unseen_words": (unseen, vocabulary.unseen_in(novel)),
        "confidence": (
            reference["confidence"].to_numpy(dtype=float),
            np.array([row.score for row in window.answers], dtype=float),
        ),
    } | {name: (before[name].to_numpy(), now[name].to_numpy()) for name in DESCRIPTORS}


def _embedding_score(before: Floats, now: Floats, draws: Draws) -> Score:
    if before.shape[1] == 0:
        raise NothingToCompare("The reference profile holds no probabilities of the classes.")
    return embedding_score(before, now, draws)


def _signal(item: Comparison, adjusted: float | None, level: float, alpha: float) -> Signal:
    facts = {
        "name": item.name,
        "title": item.title,
        "measure": item.measure,
        "floor": item.floor,
        "reference_texts": len(item.reference),
        "window_texts": len(item.window),
    }
    if item.score is None or adjusted is None:
        if item.enough:
            return Signal(status="not_measured", words=item.problem, **facts)
        return Signal(status="insufficient_data", words=too_few(item), **facts)
    breach = adjusted <= alpha and item.score.value >= item.floor
    return Signal(
        status="breach" if breach else "ok",
        value=item.score.value,
        threshold=max(item.floor, item.score.critical(level)),
        p_value=item.score.p_value,
        p_adjusted=adjusted,
        words=in_words(item),
        **facts,
    )
