"""Every drift signal of a window: its score, what chance gives at this size, and the decision over all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from monitoring.settings import MonitoringSettings
from monitoring.signals.chance import Floats, Score, categorical_score, holm, numeric_score
from monitoring.signals.content import NothingToCompare, content_score
from monitoring.signals.texts import DESCRIPTORS, Vocabulary, describe
from monitoring.verdict import Drift, Signal
from monitoring.window import Window

TITLES = {
    "text_content": ("Text content", "AUC"),
    "unseen_words": ("Unseen words", "% of a text's words"),
    "predicted_label": ("Predicted labels", "share"),
    "confidence": ("Confidence", "probability"),
    "text_length": ("Text length", "characters"),
    "word_count": ("Words", "words a text"),
    "sentence_count": ("Sentences", "sentences a text"),
    "non_letters": ("Digits and punctuation", "% of characters"),
    "capitals": ("Capital letters", "% of characters"),
}
"""Signal → its title and the unit of its values, in the order of reports."""


@dataclass(slots=True)
class Comparison:
    """A signal while it is being measured: values of both sides, score, decision."""

    name: str
    reference: Sequence[object] | Floats
    window: Sequence[object] | Floats
    measure: str
    floor: float
    minimum: int
    compute: Callable[[], Score]
    score: Score | None = None
    problem: str = ""
    title: str = field(init=False)
    unit: str = field(init=False)

    def __post_init__(self) -> None:
        self.title, self.unit = TITLES[self.name]

    @property
    def enough(self) -> bool:
        """Whether both sides have enough texts to be judged."""
        return min(len(self.reference), len(self.window)) >= self.minimum


def measure_drift(
    reference: pd.DataFrame, window: Window, settings: MonitoringSettings, rng: np.random.Generator
) -> tuple[Drift, list[Comparison]]:
    """Judge a window against the reference.

    Returns:
        The judgement, and both sides' values of every signal for pictures.
    """
    comparisons = _comparisons(reference, window, settings, rng)
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
    statuses = {signal.status for signal in signals}
    status = "breach" if "breach" in statuses else "ok" if "ok" in statuses else "insufficient_data"
    return Drift(status=status, alpha=settings.monitoring_alpha, signals=signals), comparisons


def _comparisons(
    reference: pd.DataFrame, window: Window, settings: MonitoringSettings, rng: np.random.Generator
) -> list[Comparison]:
    reference_texts = list(reference["text"])
    texts = [row.text for row in window.distinct]
    novel = [row.text for row in window.novel]
    vocabulary = Vocabulary(reference_texts)

    numeric = {
        "unseen_words": (vocabulary.unseen_in_reference(), vocabulary.unseen_in(novel)),
        "confidence": (
            reference["confidence"].to_numpy(dtype=float),
            np.array([row.score for row in window.distinct], dtype=float),
        ),
    }
    before, now = describe(reference_texts), describe(texts)
    numeric |= {name: (before[name].to_numpy(), now[name].to_numpy()) for name in DESCRIPTORS}

    minimum = settings.monitoring_min_texts
    found = {
        name: Comparison(
            name,
            old,
            new,
            "Wasserstein distance, in standard deviations of the reference",
            settings.monitoring_min_numeric_shift,
            minimum,
            lambda old=old, new=new: numeric_score(  # type: ignore[misc]
                old, new, permutations=settings.monitoring_permutations, rng=rng
            ),
        )
        for name, (old, new) in numeric.items()
    }
    old_labels, new_labels = list(reference["predicted"]), [row.label for row in window.distinct]
    found["predicted_label"] = Comparison(
        "predicted_label",
        old_labels,
        new_labels,
        "Jensen-Shannon distance",
        settings.monitoring_min_label_shift,
        minimum,
        lambda: categorical_score(
            old_labels, new_labels, permutations=settings.monitoring_permutations, rng=rng
        ),
    )
    found["text_content"] = Comparison(
        "text_content",
        reference_texts,
        novel,
        "AUC of a classifier that tells reference from live texts",
        settings.monitoring_min_text_auc,
        minimum,
        lambda: content_score(reference_texts, novel),
    )
    return [found[name] for name in TITLES]


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
        few = min(len(item.reference), len(item.window))
        words = f"{few} texts to compare, {item.minimum} are needed."
        return Signal(status="insufficient_data", words=words, **facts)
    breach = adjusted <= alpha and item.score.value >= item.floor
    return Signal(
        status="breach" if breach else "ok",
        value=item.score.value,
        threshold=max(item.floor, item.score.critical(level)),
        p_value=item.score.p_value,
        p_adjusted=adjusted,
        words=_words(item),
        **facts,
    )


def _words(item: Comparison) -> str:
    if item.name == "text_content":
        assert item.score is not None
        return f"a reader could tell live from reference texts {item.score.value:.0%} of the time (50% is guessing)"
    if item.name == "predicted_label":
        labels = sorted({*map(str, item.reference), *map(str, item.window)})
        shares = [
            (
                label,
                list(item.reference).count(label) / len(item.reference),
                list(item.window).count(label) / len(item.window),
            )
            for label in labels
        ]
        label, before, now = max(shares, key=lambda share: abs(share[2] - share[1]))
        return f"{label} went from {before:.0%} to {now:.0%} of answers"
    before, now = (float(np.median(np.asarray(side, dtype=float))) for side in (item.reference, item.window))
    digits = 2 if item.name == "confidence" else 1 if abs(before) < 100 else 0
    unit = "" if item.name == "confidence" else item.unit if item.unit.startswith("%") else f" {item.unit}"
    return f"the median went from {before:.{digits}f} to {now:.{digits}f}{unit}"
