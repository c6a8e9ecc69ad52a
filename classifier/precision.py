"""float32 or int8: a bundle that holds both is run by the one that is faster on this processor, which is measured.

`model.int8.onnx` lies beside `model.onnx` only where it passed its gate in training (what macro-F1 it may lose).
Whether it is faster depends on the processor: one that multiplies eight-bit integers in vectors (VNNI) wins, another
loses.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from classifier.batches import DEFAULT_BATCH_TOKENS
from classifier.device import Device
from classifier.errors import BundleIncomplete, GoldenMismatch
from classifier.golden import read_golden
from classifier.predictor import Classifier
from classifier.runtime import Encoded

FLOAT32_FILE, INT8_FILE = "model.onnx", "model.int8.onnx"
Precision = Literal["auto", "float32", "int8"]
_ROUNDS = 5
_MOST_TEXTS = 64
_GAIN = 1.05
"""How many times as fast int8 must be: less is noise, and float32 is what was judged."""
_CLEAR = 0.2
"""A golden text whose two most probable labels are further apart must get the same label from int8."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The classifier that runs, and why."""

    classifier: Classifier
    reason: str
    milliseconds: dict[str, float]
    """File → median time of one full batch; empty where there was nothing to choose."""


def load_fastest(
    folder: str | Path,
    *,
    signing_key: str | None = None,
    threads: int | None = None,
    precision: Precision = "auto",
    device: Device = "cpu",
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
) -> Chosen:
    """Load a bundle, verified, with the file that `precision` asks for; `auto` measures for about a second.

    Raises:
        BundleIncomplete: `int8` is asked for, and the bundle has none.
        BundleError: see `Classifier.load`; GoldenMismatch also where int8 is asked for and calls a golden text
            something else.
        DeviceMissing: `device` is `cuda`, and there is none.
    """
    folder = Path(folder)
    exact = Classifier.load(folder, signing_key=signing_key, threads=threads, device=device)
    said = exact.description.model_file
    has_both = said == FLOAT32_FILE and INT8_FILE in exact.manifest.get("files", {})
    if precision == "float32" or said == INT8_FILE or (precision == "auto" and not has_both):
        return Chosen(exact, f"the bundle says {said}" if precision == "auto" else f"{said} is asked for", {})
    if not has_both:
        raise BundleIncomplete(
            f"{folder} has no {INT8_FILE}: train the candidate with `int8: {{}}`, or do not ask for int8"
        )
    rounded = exact.beside(INT8_FILE, threads=threads, device=device)
    different = _called_differently(exact, rounded)
    if precision == "int8":
        if different:
            raise GoldenMismatch(f"{folder / INT8_FILE} calls a golden text something else: {different}")
        return Chosen(rounded, f"{INT8_FILE} is asked for", {})
    if different:
        return Chosen(exact, f"{INT8_FILE} calls a golden text something else: {different}", {})
    times = _batch_times((exact, rounded), batch_tokens)
    gain = times[0] / times[1]
    measured = dict(
        zip((FLOAT32_FILE, INT8_FILE), (round(1000 * seconds, 3) for seconds in times), strict=True)
    )
    words = f"{INT8_FILE} is {gain:.2f} times as fast as {FLOAT32_FILE} here"
    return Chosen(rounded if gain >= _GAIN else exact, words, measured)


def _called_differently(exact: Classifier, rounded: Classifier) -> str:
    """The first golden text that is clear to one and something else to the other, in words; empty if there is none."""
    texts, expected, _ = read_golden(exact.folder)
    found = rounded.predict(texts)
    for row, (before, after) in enumerate(zip(expected, found, strict=True)):
        first, second = np.sort(before)[::-1][:2]
        if first - second > _CLEAR and before.argmax() != after.argmax():
            labels = exact.labels
            return f"text {row} is {labels[int(after.argmax())]!r}, not {labels[int(before.argmax())]!r}"
    return ""


def _batch_times(models: tuple[Classifier, Classifier], batch_tokens: int) -> tuple[float, float]:
    """Median seconds of one full batch of golden texts, in turns, so that a busy machine slows both alike."""
    texts, _, _ = read_golden(models[0].folder)
    batch = _full_batch(models[0].encode(texts), batch_tokens)
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(_ROUNDS + 1):
        for model, found in zip(models, times, strict=True):
            started = time.perf_counter()
            model.infer(batch)
            if turn:  # the first one allocates
                found.append(time.perf_counter() - started)
    return statistics.median(times[0]), statistics.median(times[1])


def _full_batch(encoded: list[Encoded], batch_tokens: int) -> list[Encoded]:
    width = max(item.cost for item in encoded)
    wanted = max(1, min(_MOST_TEXTS, batch_tokens // width))
    return [encoded[row % len(encoded)] for row in range(wanted)]
