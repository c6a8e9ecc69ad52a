"""`python -m benchmarks.serving.throughput BUNDLE TEXTS.jsonl`: how fast a bundle is in-process.

It is the ceiling of whatever serves the bundle on the same machine. For a bundle that holds float32 and int8 it also
says how far they agree on these texts, on this processor.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from classifier.batches import DEFAULT_BATCH_TOKENS
from classifier.device import Device
from classifier.manifest import machine_fingerprint
from classifier.precision import FLOAT32_FILE, INT8_FILE, Precision, load_fastest
from classifier.predictor import Classifier


def texts_per_second(
    classifier: Classifier, texts: Sequence[str], *, rounds: int = 3, batch_tokens: int = DEFAULT_BATCH_TOKENS
) -> float:
    """Median over `rounds` of texts a second, tokenising included, in batches of like length."""
    rates = []
    for _ in range(rounds):
        started = time.perf_counter()
        classifier.predict(texts, batch_tokens=batch_tokens)
        rates.append(len(texts) / (time.perf_counter() - started))
    return statistics.median(rates)


def latency_ms_p50(classifier: Classifier, texts: Sequence[str]) -> float:
    """Median time of one text by itself."""
    times = []
    for text in texts:
        started = time.perf_counter()
        classifier.predict([text])
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print one line of JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.throughput", description=__doc__)
    parser.add_argument("bundle", type=Path, help="the bundle's folder")
    parser.add_argument("texts", type=Path, help='a JSONL file of {"text": …}')
    parser.add_argument("--threads", type=int, help="threads of one inference; default: one for each core")
    parser.add_argument(
        "--batch-tokens", type=int, default=DEFAULT_BATCH_TOKENS, help="padded tokens of one batch"
    )
    parser.add_argument(
        "--precision", choices=get_args(Precision), default="auto",
        help="of a bundle that holds float32 and int8: one of them, or the faster (default)",
    )  # fmt: skip
    parser.add_argument("--device", choices=get_args(Device), default="cpu", help="where a network computes")
    parser.add_argument("--limit", type=int, default=512, help="texts to read at most")
    given = parser.parse_args(arguments)
    lines = given.texts.read_text(encoding="utf-8").splitlines()[: given.limit]
    texts = [json.loads(line)["text"] for line in lines]
    chosen = load_fastest(
        given.bundle,
        threads=given.threads,
        precision=given.precision,
        device=given.device,
        batch_tokens=given.batch_tokens,
    )
    classifier = chosen.classifier
    classifier.predict(texts[:32])  # the first batches allocate
    figures: dict[str, Any] = {
        "processor": machine_fingerprint()["processor"],
        "file": classifier.description.model_file,
        "texts": len(texts),
        "texts_per_second": round(texts_per_second(classifier, texts, batch_tokens=given.batch_tokens), 2),
        "latency_ms_p50": round(latency_ms_p50(classifier, texts[:50]), 3),
    }
    if {FLOAT32_FILE, INT8_FILE} <= set(classifier.manifest["files"]):
        float32, int8 = (
            classifier.beside(name, threads=given.threads).predict(texts)
            for name in (FLOAT32_FILE, INT8_FILE)
        )
        figures["int8"] = {
            "agreement": round(float((float32.argmax(axis=1) == int8.argmax(axis=1)).mean()), 4),
            "max_difference": round(float(np.abs(float32 - int8).max()), 4),
        }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
