"""How good the champion is beside its last stage alone, on texts that neither has seen."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.serving.material import Material
from classifier.precision import load_fastest
from classifier.runtime import Probabilities
from training.evaluation.metrics import evaluate, paired_difference


@dataclass(frozen=True, slots=True)
class Quality:
    """Macro-F1 of the champion and of the network, in-process on the whole texts."""

    texts: int
    champion: float
    network: float
    difference: tuple[float, float, float]
    """Champion minus network: value, and the ends of the paired 95 % bootstrap interval."""
    share_early: float
    """Share of the texts that the first stage answered."""


def measure_quality(material: Material) -> tuple[Quality, tuple[str, ...]]:
    """Classify `material.texts` with both; returns the figures, and the texts that the first stage answers."""
    champion = load_fastest(material.champion, threads=material.threads).classifier
    network = load_fastest(material.bundle, threads=material.threads).classifier
    found = champion.classify(material.texts)
    alone = network.predict(material.texts)
    difference = paired_difference(found.probabilities, alone, material.labels, champion.labels, seed=0)
    early = found.stages == 0
    quality = Quality(
        texts=len(material.texts),
        champion=_macro_f1(found.probabilities, material, champion.labels),
        network=_macro_f1(alone, material, network.labels),
        difference=(difference.value, difference.low, difference.high),
        share_early=float(early.mean()),
    )
    return quality, tuple(text for text, is_early in zip(material.texts, early, strict=True) if is_early)


def _macro_f1(probabilities: Probabilities, material: Material, labels: tuple[str, ...]) -> float:
    return evaluate(probabilities, material.labels, labels, seed=0).macro_f1.value
