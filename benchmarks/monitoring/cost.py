"""What does a check cost? `python -m benchmarks.monitoring.cost` fills stores, checks them, and prints time and memory.

Then it runs the drift measurement beside Evidently's own preset over the same frames, in turns.

The predictions are made from the champion's reference: its sentences, mixed anew, with its answers. Nothing is written
to the prediction store of the settings.
"""

from __future__ import annotations

import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pandas as pd
from sqlalchemy import insert

from classifier.reference import PROBABILITY_PREFIX
from stores.telemetry import turn_telemetry_off

turn_telemetry_off()

from monitoring.champion import MonitoredModel, find_champion  # noqa: E402  after the switches
from monitoring.drift.compute import measure_drift  # noqa: E402
from monitoring.drift.permutation import preserve_rng_state  # noqa: E402
from monitoring.drift.signal import signals  # noqa: E402
from monitoring.drift.text_features import describe  # noqa: E402
from monitoring.settings import MonitoringSettings  # noqa: E402
from monitoring.window import Window  # noqa: E402
from stores.predictions import LabelledPrediction, PredictionStore  # noqa: E402
from stores.predictions.schema import feedback, predictions  # noqa: E402
from stores.registry import ModelRegistry  # noqa: E402
from stores.settings import SigningSettings, TrackingSettings  # noqa: E402

_AT_ONCE = 10_000
_SENTENCES = 5
_LABELLED = 0.1
_DAY = 86_400.0


def simulated_days(champion: MonitoredModel, count: int, seed: int) -> Iterator[LabelledPrediction]:
    """Predictions that the champion might have logged in the last 24 hours; nearly every text is another."""
    rng = random.Random(seed)
    reference = champion.reference
    texts = list(reference["text"])
    labels, confidences = list(reference["predicted"]), list(reference["confidence"])
    sentences = [re.split(r"(?<=[.!?])\s+", text) for text in texts]
    now = time.time()
    for number in range(count):
        own, other = rng.randrange(len(texts)), rng.randrange(len(texts))
        words = sentences[own] + sentences[other]
        rng.shuffle(words)
        rest = (1 - confidences[own]) / max(1, len(champion.labels) - 1)
        scores = dict.fromkeys(champion.labels, rest) | {labels[own]: confidences[own]}
        yield LabelledPrediction(
            text=" ".join(words[:_SENTENCES]),
            label=labels[own],
            score=confidences[own],
            scores=scores,
            tokens=100,
            truncated=False,
            model_name=champion.model.name,
            model_version=champion.model.version,
            # 16 digits of time and 16 of luck, as the service makes them
            id=f"{number:016x}{rng.getrandbits(64):016x}",
            created_at=now - _DAY * (count - number) / count,
        )


def fill(store: PredictionStore, champion: MonitoredModel, count: int) -> None:
    """Write `count` predictions, a tenth of them with a label."""
    names = [column.name for column in predictions.columns]
    rows: list[LabelledPrediction] = []
    for row in simulated_days(champion, count, seed=count):
        rows.append(row)
        if len(rows) == _AT_ONCE:
            _write(store, rows, names)
            rows = []
    _write(store, rows, names)


def _write(store: PredictionStore, rows: list[LabelledPrediction], names: list[str]) -> None:
    labels = [
        {"prediction_id": row.id, "label": row.label, "source": row.source, "created_at": row.created_at}
        for row in rows[:: round(1 / _LABELLED)]
    ]
    with store.writing() as connection:
        if rows:
            connection.execute(
                insert(predictions), [{name: getattr(row, name) for name in names} for row in rows]
            )
            connection.execute(insert(feedback), labels)


@dataclass(frozen=True, slots=True)
class Run:
    """One check by its command."""

    seconds: float
    processor: float
    """Seconds of processor time; another process on the machine does not lengthen them."""
    peak: float
    """Memory, MiB."""
    predictions: int


def check(url: str, folder: Path) -> Run:
    """Run the check command once over the last 25 hours, which are all that the store holds."""
    command = [
        sys.executable, "-m", "monitoring", "check", "--window", "25h", "--json", "--output", str(folder),
    ]  # fmt: skip
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, env={**os.environ, "PREDICTIONS_URL": url}, stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        if process.returncode not in (0, 1):
            raise SystemExit(f"the check ended with status {process.returncode}")
        out.seek(0)
        verdict = json.load(out)
    kibibytes = usage.ru_maxrss if sys.platform != "darwin" else usage.ru_maxrss / 1024
    processor = usage.ru_utime + usage.ru_stime
    return Run(seconds, processor, kibibytes / 1024, verdict["window"]["predictions"])


Side = list[LabelledPrediction]


def by_preset(before: Side, now: Side) -> None:
    """Evidently's data drift preset over text, label and confidence."""
    _preset(*(_plain(side) for side in (now, before)))


def by_preset_with_descriptors(before: Side, now: Side) -> None:
    """The same with its descriptors as columns: as many of our signals as Evidently has."""
    frames = []
    for side in (now, before):
        plain = _plain(side)
        frames.append(pd.concat([plain, describe(list(plain["text"]))], axis=1))
    _preset(*frames)


def by_us(before: Side, now: Side, settings: MonitoringSettings) -> None:
    """The drift part of a check: every signal, with what chance gives."""
    reference = _plain(before).assign(label=lambda frame: frame["predicted"])
    for name in before[0].scores:
        reference[PROBABILITY_PREFIX + name] = [row.scores[name] for row in before]
    read = sorted(now, key=lambda row: row.id[16:])[: settings.monitoring_max_texts]  # as the store samples
    known = {row.text for row in before}
    novel = [row for row in read if row.text not in known]
    window = Window(0, 1, len(now), 0, len(read), read, novel, [])
    measure_drift(reference, window, settings, np.random.default_rng(1))


def _plain(side: Side) -> pd.DataFrame:
    return pd.DataFrame([{"text": r.text, "predicted": r.label, "confidence": r.score} for r in side])


def _preset(now: pd.DataFrame, before: pd.DataFrame) -> None:
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(
        text_columns=["text"],
        categorical_columns=["predicted"],
        numerical_columns=[name for name in now if name not in ("text", "predicted")],
    )
    sides = (Dataset.from_pandas(frame, data_definition=definition) for frame in (now, before))
    with preserve_rng_state():
        Report([DataDriftPreset()], include_tests=True).run(*sides).dict()


def in_turns(champion: MonitoredModel, count: int, rounds: int) -> list[float]:
    """Median processor seconds of each way over the same rows, one way after the other, with new rows each round."""
    settings = MonitoringSettings()
    ways: list[Callable[[Side, Side], None]] = [
        by_preset,
        by_preset_with_descriptors,
        lambda before, now: by_us(before, now, settings),
    ]
    seconds: list[list[float]] = [[] for _ in ways]
    for number in range(rounds + 1):
        size = count if number else 200  # at first everything is imported
        sides = [
            list({row.text: row for row in simulated_days(champion, size, seed=2 * number + side)}.values())
            for side in (0, 1)
        ]
        for way, found in zip(ways, seconds, strict=True):
            began = time.process_time()
            way(sides[0], sides[1])
            if number:
                found.append(time.process_time() - began)
    return [statistics.median(values) for values in seconds]


def _numbers(_context: object, _parameter: object, value: str) -> list[int]:
    try:
        return [int(part) for part in value.split(",")] if value else []
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a list like 2000,20000") from None


@click.command()
@click.option(
    "--rows", default="100000,1000000", show_default=True, callback=_numbers, help="Sizes of the stores."
)
@click.option(
    "--frames", default="2000,20000", show_default=True, callback=_numbers, help="Rows on each side."
)
@click.option(
    "--rounds", default=3, show_default=True, help="Checks of each store, and turns over each size."
)
def main(rows: list[int], frames: list[int], rounds: int) -> None:
    """Measure what a check costs. An empty --rows or --frames leaves that part out."""
    tracking = TrackingSettings()
    champion = find_champion(ModelRegistry(tracking), tracking, SigningSettings())
    if rows:
        print(
            "| predictions in the window | seconds | of the processor | peak memory |\n|---|---|---|---|",
            flush=True,
        )
    for count in rows:
        with tempfile.TemporaryDirectory(dir=tracking.root) as name:
            url = f"sqlite:///{Path(name) / 'predictions.db'}"
            store = PredictionStore.open(url)
            fill(store, champion, count)
            store.close()
            runs = [check(url, Path(name) / "check") for _ in range(rounds)]
        middle = [statistics.median(getattr(run, what) for run in runs) for what in ("seconds", "processor")]
        peak = max(run.peak for run in runs)
        print(
            f"| {runs[0].predictions:,} | {middle[0]:.1f} | {middle[1]:.1f} | {peak:,.0f} MiB |", flush=True
        )
    if frames:
        print(
            "\n| rows on each side | preset, 3 columns | preset with descriptors, 8 columns | "
            f"ours, {len(signals())} signals |\n"
            "|---|---|---|---|",
            flush=True,
        )
    for count in frames:
        found = " | ".join(f"{seconds:.1f} s" for seconds in in_turns(champion, count, rounds))
        print(f"| {count:,} | {found} |", flush=True)


if __name__ == "__main__":
    main()
