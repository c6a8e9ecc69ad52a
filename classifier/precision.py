"""float32 or int8: a bundle that holds both is run by int8 where it answers like float32 and is faster, here.

`model.int8.onnx` lies beside `model.onnx` only where it passed its gate in training (what macro-F1 it may lose).
Whether it is faster depends on the processor, and so may what it answers: both are measured when the bundle is loaded.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from classifier.batches import DEFAULT_BATCH_TOKENS
from classifier.device import Device
from classifier.errors import BundleIncomplete, GoldenMismatch, bundle_faults
from classifier.golden import read_golden
from classifier.int8 import Int8Agreement, check_int8, float32_difference
from classifier.predictor import Classifier
from classifier.runtime import Encoded
from classifier.signing import SigningKeys

FLOAT32_FILE, INT8_FILE = "model.onnx", "model.int8.onnx"
Precision = Literal["auto", "float32", "int8"]
_ROUNDS = 5
_MOST_TEXTS = 64
_GAIN = 1.05
"""How many times as fast int8 must be: less is noise, and float32 is what was judged."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The classifier that runs, and why."""

    classifier: Classifier
    reason: str
    milliseconds: dict[str, float]
    """File → median time of one full batch; empty where nothing was timed."""
    int8: Int8Agreement | None = None
    """int8 against float32 on this processor; None where int8 was not considered."""


def load_fastest(
    folder: str | Path,
    *,
    signing_key: str | SigningKeys | None = None,
    threads: int | None = None,
    precision: Precision = "auto",
    device: Device = "cpu",
    batch_tokens: int = DEFAULT_BATCH_TOKENS,
) -> Chosen:
    """Load a bundle, verified, with the file that `precision` asks for.

    `auto` takes int8 if it answers like float32 on this processor (`classifier/int8.py`) and is at least 1.05 times as
    fast, which is measured for about a second; it is not timed where the bundle itself says int8. `int8` is refused
    where it does not answer like float32; `float32` and `int8` are refused where the bundle lacks the file.

    Raises:
        BundleIncomplete: the bundle does not hold the requested file.
        BundleError: see `Classifier.load`; GoldenMismatch also where int8 is requested and differs from float32 by more
            than the bundle allows.
        DeviceMissing: `device` is `cuda`, and there is none.
    """
    folder = Path(folder)
    with bundle_faults(folder):
        return _fastest(folder, signing_key, threads, precision, device, batch_tokens)


def _fastest(
    folder: Path,
    signing_key: str | SigningKeys | None,
    threads: int | None,
    precision: Precision,
    device: Device,
    batch_tokens: int,
) -> Chosen:
    bundle = Classifier.load(folder, signing_key=signing_key, threads=threads, device=device, golden=False)
    default_file = bundle.description.model_file
    if default_file not in (FLOAT32_FILE, INT8_FILE) or not {FLOAT32_FILE, INT8_FILE} <= set(
        bundle.manifest["files"]
    ):
        return _only_choice(bundle, precision)
    if precision == "float32":
        return Chosen(_checked_float32(bundle, threads, device), f"{FLOAT32_FILE} is asked for", {})
    int8 = bundle if default_file == INT8_FILE else bundle.beside(INT8_FILE, threads=threads, device=device)
    agreement, problem = _held_against_float32(int8)
    if precision == "int8":
        if problem:
            raise GoldenMismatch(f"{folder / INT8_FILE} is asked for, and is not run: {problem}")
        return Chosen(int8, f"{INT8_FILE} is asked for", {}, agreement)
    if problem:
        float32 = _checked_float32(bundle, threads, device)
        return Chosen(float32, f"{INT8_FILE} is not run: {problem}", {}, agreement)
    if default_file == INT8_FILE:
        return Chosen(int8, f"the bundle says {INT8_FILE}", {}, agreement)
    float32 = _checked_float32(bundle, threads, device)
    times = _batch_times((float32, int8), batch_tokens)
    gain = times[0] / times[1]
    measured = dict(
        zip((FLOAT32_FILE, INT8_FILE), (round(1000 * seconds, 3) for seconds in times), strict=True)
    )
    words = f"{INT8_FILE} is {gain:.2f} times as fast as {FLOAT32_FILE} here"
    return Chosen(int8 if gain >= _GAIN else float32, words, measured, agreement)


def _only_choice(bundle: Classifier, precision: Precision) -> Chosen:
    """The one file that a bundle has."""
    default_file = bundle.description.model_file
    if precision == "int8" and default_file != INT8_FILE:
        raise BundleIncomplete(
            f"{bundle.folder} has no {INT8_FILE}: train the candidate with `int8: {{}}`, or do not ask for int8"
        )
    if precision == "float32" and default_file == INT8_FILE:
        raise BundleIncomplete(f"{bundle.folder} has no {FLOAT32_FILE}, and float32 is asked for")
    bundle.check_golden()
    return Chosen(
        bundle,
        f"the bundle says {default_file}" if precision == "auto" else f"{default_file} is asked for",
        {},
    )


def _checked_float32(bundle: Classifier, threads: int | None, device: Device) -> Classifier:
    """The float32 file of a bundle that holds both, shown to compute here what it computed where it was made.

    Raises:
        GoldenMismatch: it does not.
    """
    if bundle.description.model_file == FLOAT32_FILE:
        bundle.check_golden()
        return bundle
    float32 = bundle.beside(FLOAT32_FILE, threads=threads, device=device)
    found = float32_difference(float32)
    if found is not None and not found[0] <= found[1]:  # written so that NaN fails
        raise GoldenMismatch(
            f"{bundle.folder / FLOAT32_FILE} is off by {found[0]:.4f} in a probability (tolerance {found[1]}): the "
            "model does not compute here what it computed where it was made"
        )
    return float32


def _held_against_float32(int8: Classifier) -> tuple[Int8Agreement | None, str]:
    """What was found, and why int8 must not run; empty if it may."""
    if int8.sealed_file == INT8_FILE:
        try:
            int8.check_golden()
        except GoldenMismatch as error:
            return None, str(error)
    agreement = check_int8(int8)
    return agreement, "" if agreement is None or agreement.accepted else str(agreement)


def _batch_times(models: tuple[Classifier, Classifier], batch_tokens: int) -> tuple[float, float]:
    """Median seconds of one full batch of golden texts, in turns, so that a busy machine slows both alike."""
    texts, _, _ = read_golden(models[0].folder)
    batch = _full_batch(models[0].encode(texts, all_stages=True), batch_tokens)
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
