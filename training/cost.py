"""What serving a classifier costs: time and size."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from classifier import Classifier
from classifier.precision import FLOAT32_FILE, INT8_FILE

_TIMED_TEXTS = 60
_NOT_LOADED = {"golden.json", "reference.parquet", "manifest.json"}


@dataclass(frozen=True, slots=True)
class Cost:
    """Time of single texts on this machine, tokenising included, and size on disk."""

    milliseconds: float
    """Median time of one text by itself."""
    milliseconds_p95: float
    """Time that 95 of 100 single texts stay below."""
    megabytes: float
    """Size of the files that serving loads."""


def cost_of(classifier: Classifier, texts: Sequence[str]) -> Cost:
    """Run the first of `texts` one by one, and weigh the classifier's files."""
    timed = list(texts[:_TIMED_TEXTS])
    classifier.predict(timed[:1])  # the first call allocates
    times = []
    for text in timed:
        started = time.perf_counter()
        classifier.predict([text])
        times.append(time.perf_counter() - started)
    median, p95 = np.quantile(times, [0.5, 0.95]) * 1000
    return Cost(float(median), float(p95), _megabytes(classifier.folder, classifier.description.model_file))


def _megabytes(bundle: Path, model_file: str) -> float:
    """Of the model's files; what a bundle holds beside them, another network file too, is read once or never."""
    not_loaded = _NOT_LOADED | ({FLOAT32_FILE, INT8_FILE} - {model_file})
    files = (path for path in bundle.iterdir() if path.is_file() and path.name not in not_loaded)
    return sum(path.stat().st_size for path in files) / 1e6
