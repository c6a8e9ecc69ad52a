"""How often does a quiet window alarm, for each of many references?

A permutation test holds its level on average over references; a user has one.
`python -m benchmarks.monitoring.references TEXTS.jsonl` draws references from texts that the served model never saw,
judges windows of the other texts against each, and prints the share of windows that alarmed: of all, and of the worst
references. Nothing is written to the prediction store.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pandas as pd

from stores.telemetry import turn_telemetry_off

turn_telemetry_off()

from benchmarks.monitoring.alarm_rate import answers, read_texts, window_of  # noqa: E402  after the switches
from classifier import Classifier  # noqa: E402
from classifier.reference import PROBABILITY_PREFIX  # noqa: E402
from monitoring.champion import find_champion  # noqa: E402
from monitoring.drift.compute import measure_drift  # noqa: E402
from monitoring.settings import MonitoringSettings  # noqa: E402
from stores.predictions import LabelledPrediction  # noqa: E402
from stores.registry import ModelRegistry  # noqa: E402
from stores.settings import SigningSettings, TrackingSettings  # noqa: E402


@dataclass(frozen=True, slots=True)
class ReferenceTrial:
    """Quiet windows judged against one reference."""

    windows: int
    flagged: int
    signals: Counter[str]
    """Signal → windows in which it breached."""


def reference_of(rows: Sequence[LabelledPrediction]) -> pd.DataFrame:
    """A reference profile of these answers; the columns that drift is measured from."""
    frame = pd.DataFrame(
        {
            "text": [row.text for row in rows],
            "predicted": [row.label for row in rows],
            "confidence": [row.score for row in rows],
        }
    )
    probabilities = pd.DataFrame([dict(row.scores) for row in rows]).add_prefix(PROBABILITY_PREFIX)
    return pd.concat([frame, probabilities], axis=1)


def judge_reference(
    rows: Sequence[LabelledPrediction],
    *,
    reference_size: int,
    size: int,
    windows: int,
    settings: MonitoringSettings,
    seed: str,
) -> ReferenceTrial:
    """Draw one reference from `rows`, and judge windows of the others against it.

    Args:
        rows: answers to different texts of one source.
        reference_size: texts of the reference.
        size: texts of a window; windows may share texts with one another.
        windows: how many.
        settings: of the check.
        seed: of the draws.
    """
    rng = random.Random(seed)
    mixed = rng.sample(list(rows), len(rows))
    reference, others = reference_of(mixed[:reference_size]), mixed[reference_size:]
    flagged, signals = 0, Counter[str]()
    for number in range(windows):
        window = window_of(rng.sample(others, size))
        drift, _ = measure_drift(reference, window, settings, np.random.default_rng(number))
        flagged += drift.status == "breach"
        signals.update(signal.name for signal in drift.signals if signal.status == "breach")
    return ReferenceTrial(windows, flagged, signals)


@click.command()
@click.argument("texts", type=click.Path(exists=True, path_type=Path, dir_okay=False))
@click.option("--references", default=60, show_default=True, help="References drawn.")
@click.option("--reference-size", default=426, show_default=True, help="Texts of each.")
@click.option("--size", default=2000, show_default=True, help="Texts a window.")
@click.option("--windows", default=100, show_default=True, help="Windows judged against each reference.")
@click.option("--seed", default=1, show_default=True)
def main(texts: Path, references: int, reference_size: int, size: int, windows: int, seed: int) -> None:
    """Measure the false alarms of the drift check for every one of many references.

    TEXTS is a JSONL file with `text`, like `python -m training data` writes: of the source of the served model's
    reference, and seen in no part of its training.
    """
    settings = MonitoringSettings()
    champion = find_champion(ModelRegistry(TrackingSettings()), TrackingSettings(), SigningSettings())
    rows = answers(Classifier.load(champion.folder), list(read_texts(texts)["text"].drop_duplicates()))
    if len(rows) < reference_size + size:
        raise click.UsageError(f"{len(rows)} texts are too few for {reference_size} and {size} others")
    trials = []
    for number in range(references):
        trial = judge_reference(
            rows,
            reference_size=reference_size,
            size=size,
            windows=windows,
            settings=settings,
            seed=f"{seed}/{number}",
        )
        trials.append(trial)
        by = ", ".join(f"{name} {count}" for name, count in trial.signals.most_common())
        print(f"reference {number}: {trial.flagged} of {windows} windows alarmed {by}", flush=True)
    rates = sorted((trial.flagged / trial.windows for trial in trials), reverse=True)
    worst = ", ".join(f"{rate:.1%}" for rate in rates[:3])
    print(f"mean {np.mean(rates):.2%}; the worst references {worst}")


if __name__ == "__main__":
    sys.exit(main())
