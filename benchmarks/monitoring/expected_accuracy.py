"""How near is the accuracy that a check expects without labels? `python -m benchmarks.monitoring.expected_accuracy`.

It takes labelled texts that the served model never saw, shifts them within their classes (other mixes of classes,
shortened texts), and compares three estimates on windows of them with the accuracy of the traffic that each window was
drawn from: the mean confidence, confidence calibrated by isotonic regression one class against the rest (NannyML's
CBPE), and the estimate of a check. Nothing is written anywhere.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from stores.telemetry import turn_telemetry_off

turn_telemetry_off()

from classifier import Classifier  # noqa: E402  after the switches
from classifier.reference import PROBABILITY_PREFIX  # noqa: E402
from monitoring.champion import find_champion  # noqa: E402
from monitoring.expected_accuracy import Calibration, fit_calibration  # noqa: E402
from stores.registry import ModelRegistry  # noqa: E402
from stores.settings import SigningSettings, TrackingSettings  # noqa: E402

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]


def _part_of(first: float, last: float) -> Callable[[str], str]:
    def shortened(text: str) -> str:
        words = text.split()
        return " ".join(words[int(first * len(words)) : max(1, int(last * len(words)))])

    return shortened


SHIFTS: dict[str, Callable[[str], str]] = {
    "whole texts": str,
    "first half": _part_of(0, 0.5),
    "last half": _part_of(0.5, 1),
    "first quarter": _part_of(0, 0.25),
    "lower case": str.lower,
}


def mixes(rng: np.random.Generator, truth: Positions, windows: int) -> Iterator[Floats]:
    """Shares of the classes: in turns the usual ones, one class at 60 %, one class gone, drawn at random."""
    usual = np.bincount(truth) / len(truth)
    classes = len(usual)
    for number in range(windows):
        chosen = np.arange(classes) == rng.integers(classes)
        gone = np.where(chosen, 0.0, usual)
        ways = (
            usual,
            np.where(chosen, 0.6, 0.4 / (classes - 1)),
            gone / gone.sum(),
            rng.dirichlet(np.full(classes, 2.0)),
        )
        yield ways[number % len(ways)]


def isotonic(reference: Floats, truth: Positions, probabilities: Floats) -> Floats:
    """Calibrated probability of each answer, one class against the rest, normalised over the classes."""
    columns = [
        IsotonicRegression(out_of_bounds="clip").fit(reference[:, k], truth == k).predict(probabilities[:, k])
        for k in range(reference.shape[1])
    ]
    calibrated = np.stack(columns, axis=1) + 1e-9
    found: Floats = calibrated[np.arange(len(calibrated)), probabilities.argmax(axis=1)] / calibrated.sum(
        axis=1
    )
    return found


def errors(
    probabilities: Floats,
    truth: Positions,
    answers: Floats,
    calibration: Calibration,
    *,
    windows: int,
    size: int,
    seed: int,
) -> tuple[Floats, float]:
    """Errors of the three estimates on windows of one shift; (windows, 3), and the share of intervals that hold.

    Args:
        probabilities: (texts, classes) of the shifted texts.
        truth: the true class of each.
        answers: (texts,), calibrated one class against the rest.
        calibration: of a check.
        windows: how many.
        size: texts of each.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    right = probabilities.argmax(axis=1) == truth
    of_class = np.array([right[truth == k].mean() for k in range(int(truth.max()) + 1)])
    found, inside = [], []
    for shares in mixes(rng, truth, windows):
        counts = rng.multinomial(size, shares)
        rows = np.concatenate([rng.choice(np.flatnonzero(truth == k), n) for k, n in enumerate(counts)])
        estimate = calibration.estimate(probabilities[rows], 0.01)
        real = of_class[truth[rows]].mean()
        found.append(
            np.array([probabilities[rows].max(axis=1).mean(), answers[rows].mean(), estimate.value]) - real
        )
        inside.append(estimate.low <= right[rows].mean() <= estimate.high)
    return np.array(found), float(np.mean(inside))


@click.command()
@click.argument("texts", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--windows", default=200, show_default=True, help="Windows of each shift.")
@click.option("--size", default=200, show_default=True, help="Texts of a window.")
@click.option("--seed", default=1, show_default=True)
def main(texts: Path, windows: int, size: int, seed: int) -> None:
    """Compare estimates of accuracy on TEXTS, a JSONL file with `text` and `label` that the served model never saw."""
    tracking, signing = TrackingSettings(), SigningSettings()
    champion = find_champion(ModelRegistry(tracking), tracking, signing)
    classifier = Classifier.load(champion.folder)
    known = set(champion.reference["text"])
    rows = [json.loads(line) for line in texts.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["text"] not in known and row["label"] in champion.labels]
    truth = np.array([champion.labels.index(row["label"]) for row in rows])
    reference = champion.reference[[PROBABILITY_PREFIX + name for name in champion.labels]].to_numpy(float)
    of_reference = np.array([champion.labels.index(name) for name in champion.reference["label"]])
    calibration = fit_calibration(reference, of_reference)
    print(f"{champion.title}: {len(reference)} reference texts, {len(rows)} texts, windows of {size}\n")
    print("| texts | accuracy | mean confidence | isotonic, one against the rest | check | interval holds |")
    print("|---|---|---|---|---|---|", flush=True)
    for name, shift in SHIFTS.items():
        found = classifier.classify([shift(row["text"]) for row in rows]).probabilities.astype(np.float64)
        answers = isotonic(reference, of_reference, found)
        off, inside = errors(found, truth, answers, calibration, windows=windows, size=size, seed=seed)
        cells = [
            f"{100 * np.mean(np.abs(column) <= 0.02):.0f} % ({100 * column.mean():+.1f})" for column in off.T
        ]
        accuracy = (found.argmax(axis=1) == truth).mean()
        print(f"| {name} | {accuracy:.1%} | {' | '.join(cells)} | {inside:.0%} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
