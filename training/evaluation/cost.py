"""The cost of serving a classifier: latency, throughput and size."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from classifier import Classifier
from classifier.precision import FLOAT32_FILE, INT8_FILE
from classifier.runtimes.cascade import STAGES_FOLDER

_TIMED_TEXTS = 60
_IN_A_TURN = 3
_BATCHED_TEXTS = 120
_ROUNDS = 3
_NOT_LOADED = {"golden.json", "reference.parquet", "manifest.json"}


@dataclass(frozen=True, slots=True)
class Cost:
    """Time of single texts on this machine, tokenising included, and size on disk."""

    milliseconds: float
    """Median latency of a single text in ms."""
    milliseconds_p95: float
    """Time that 95 of 100 single texts stay below."""
    megabytes: float
    """Size of the files that serving loads."""
    texts_per_second: float | None = None
    """Texts a second in batches; None where it was not measured."""

    def metrics(self) -> dict[str, float]:
        """Every figure by the name MLflow and the registry keep it under."""
        return {
            "megabytes": self.megabytes,
            "latency_ms_p50": self.milliseconds,
            "latency_ms_p95": self.milliseconds_p95,
            **({} if self.texts_per_second is None else {"texts_per_second": self.texts_per_second}),
        }


def cost_of(classifier: Classifier, texts: Sequence[str]) -> Cost:
    """Run the first of `texts` one by one, and weigh the classifier's files."""
    return costs_of([classifier], texts)[0]


def costs_of(classifiers: Sequence[Classifier], texts: Sequence[str]) -> list[Cost]:
    """The cost of each, timed in short turns: what else the machine does meanwhile slows all alike.

    On a busy machine the same network, timed twice, came out up to 1.9 times as slow when one followed the other, up to
    twice in turns of ten texts, and 1.07 times in turns of three.
    """
    timed = list(texts[:_TIMED_TEXTS])
    times: list[list[float]] = [[] for _ in classifiers]
    for start in range(0, len(timed), _IN_A_TURN):
        for classifier, own in zip(classifiers, times, strict=True):
            # The first call of all allocates, and the first of a turn finds another's weights in the caches.
            classifier.predict(timed[:1])
            for text in timed[start : start + _IN_A_TURN]:
                started = time.perf_counter()
                classifier.predict([text])
                own.append(time.perf_counter() - started)
    batched: list[list[float]] = [[] for _ in classifiers]
    together = list(texts[:_BATCHED_TEXTS])
    for _ in range(_ROUNDS):
        for classifier, own in zip(classifiers, batched, strict=True):
            started = time.perf_counter()
            classifier.predict(together)
            own.append(len(together) / (time.perf_counter() - started))
    return [_cost(*measured) for measured in zip(classifiers, times, batched, strict=True)]


def _cost(classifier: Classifier, seconds: Sequence[float], rates: Sequence[float]) -> Cost:
    median, p95 = np.quantile(seconds, [0.5, 0.95]) * 1000
    size = _megabytes(classifier.folder, classifier.description.model_file)
    return Cost(float(median), float(p95), size, float(np.median(rates)))


def _megabytes(bundle: Path, model_file: str) -> float:
    """Of the model's files; what a bundle holds beside them, another network file too, is read once or never."""
    not_loaded = _NOT_LOADED | ({FLOAT32_FILE, INT8_FILE} - {model_file})
    files = [path for path in bundle.iterdir() if path.is_file() and path.name not in not_loaded]
    files += [path for path in (bundle / STAGES_FOLDER).rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files) / 1e6
