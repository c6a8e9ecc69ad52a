"""How often does the drift check alarm? On traffic like the reference it should not; on drifted traffic it should.

`python -m benchmarks.monitoring.alarm_rate TEXTS.jsonl` takes texts that the served model never saw, from the source of
its reference, draws windows from them as they are and drifted in known ways, judges each, and prints a table: how many
windows were flagged, and by which signals. Nothing is written to the prediction store.
"""

from __future__ import annotations

import json
import random
import string
import sys
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
import pandas as pd

from stores.telemetry import turn_telemetry_off

turn_telemetry_off()

from classifier import Classifier  # noqa: E402  after the switches
from monitoring.champion import MonitoredModel, find_champion  # noqa: E402
from monitoring.drift.compute import measure_drift  # noqa: E402
from monitoring.settings import MonitoringSettings  # noqa: E402
from monitoring.window import Window  # noqa: E402
from stores.predictions import LabelledPrediction  # noqa: E402
from stores.registry import ModelRegistry  # noqa: E402
from stores.settings import SigningSettings, TrackingSettings  # noqa: E402

Draw = Callable[[int, random.Random], list[str]]


@dataclass(frozen=True, slots=True)
class Trial:
    """One scenario at one size."""

    scenario: str
    size: int
    windows: int
    flagged: int
    signals: Counter[str]
    """Signal → windows in which it breached."""


QUIET = "like the reference"


def scenarios(
    texts: Sequence[str], labels: Sequence[str], *, other: Sequence[str] = (), foreign: Sequence[str] = ()
) -> dict[str, Draw]:
    """Ways to draw a window of n texts: as the source is, and drifted.

    Args:
        texts: from the source of the reference.
        labels: what they are about.
        other: from another source; empty leaves that scenario out.
        foreign: in another language; empty leaves that scenario out.
    """
    by_label = {
        label: [t for t, own in zip(texts, labels, strict=True) if own == label] for label in set(labels)
    }
    crowding = max(sorted(by_label), key=lambda label: len(by_label[label]))
    rest = [text for label, own in by_label.items() if label != crowding for text in own]
    ways: dict[str, Draw] = {
        QUIET: lambda n, rng: rng.sample(list(texts), n),
        "one topic 60 %": lambda n, rng: (
            _some(by_label[crowding], round(0.6 * n), rng) + _some(rest, n - round(0.6 * n), rng)
        ),
        "15 % of letters mistyped": lambda n, rng: [
            mistyped(text, 0.15, rng) for text in _some(texts, n, rng)
        ],
        "5 % of letters mistyped": lambda n, rng: [
            mistyped(text, 0.05, rng) for text in _some(texts, n, rng)
        ],
        "lower-cased headlines": lambda n, rng: [
            " ".join(text.split()[:8]).lower() for text in _some(texts, n, rng)
        ],
        "an unknown language in a fifth": lambda n, rng: [
            _rotated(text) if position < n // 5 else text
            for position, text in enumerate(_some(texts, n, rng))
        ],
    }
    if other:
        ways["another source"] = lambda n, rng: _some(other, n, rng)
    if foreign:
        ways["another language in a fifth"] = lambda n, rng: (
            _some(texts, n - n // 5, rng) + _some(foreign, n // 5, rng)
        )
    return ways


def mistyped(text: str, share: float, rng: random.Random) -> str:
    """`text` with a `share` of its letters replaced by random ones."""
    return "".join(
        rng.choice(string.ascii_lowercase) if letter.isalpha() and rng.random() < share else letter
        for letter in text
    )


def _rotated(text: str) -> str:
    """Stands for a language nobody trained for: every vowel and every consonant becomes the next of its kind, so that
    it shares letters and rhythm with the text, and no word."""
    return text.translate(_NEXT_LETTER)


_VOWELS, _CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxyz"
_NEXT_LETTER = str.maketrans(
    {
        old: new
        for kind in (_VOWELS, _CONSONANTS, _VOWELS.upper(), _CONSONANTS.upper())
        for old, new in zip(kind, kind[1:] + kind[0], strict=True)
    }
)


def _some(texts: Sequence[str], count: int, rng: random.Random) -> list[str]:
    """`count` texts, each once; a source that is too small gives all it has."""
    return rng.sample(list(texts), min(count, len(texts)))


def run_trial(
    champion: MonitoredModel,
    classifier: Classifier,
    draw: Draw,
    scenario: str,
    *,
    size: int,
    windows: int,
    settings: MonitoringSettings,
    seed: int,
) -> Trial:
    """Judge `windows` windows of `size` texts."""
    known = set(champion.reference["text"])
    flagged, signals = 0, Counter[str]()
    for number in range(windows):
        rng = random.Random(f"{seed}/{scenario}/{size}/{number}")
        window = window_of(answers(classifier, list(dict.fromkeys(draw(size, rng)))), known)
        drift, _ = measure_drift(champion.reference, window, settings, np.random.default_rng(number))
        flagged += drift.status == "breach"
        signals.update(signal.name for signal in drift.signals if signal.status == "breach")
    return Trial(scenario, size, windows, flagged, signals)


def answers(classifier: Classifier, texts: Sequence[str]) -> list[LabelledPrediction]:
    """What the store would hold of the classifier's answers."""
    made = classifier.classify(texts)
    return [
        LabelledPrediction(
            text=text,
            label=classifier.labels[int(row.argmax())],
            score=float(row.max()),
            scores={name: float(p) for name, p in zip(classifier.labels, row, strict=True)},
            tokens=tokens,
            truncated=truncated,
            model_name="",
            model_version="",
        )
        for text, row, tokens, truncated in zip(
            texts, made.probabilities, made.tokens, made.truncated, strict=True
        )
    ]


def window_of(rows: list[LabelledPrediction], known: Collection[str] = ()) -> Window:
    """A window with these predictions, whose texts differ; `known` are the texts of the reference."""
    novel = [row for row in rows if row.text not in known]
    return Window(0, 1, len(rows), 0, len(rows), rows, novel, [])


HEADING = "| traffic | texts | windows flagged | by (share of windows) |\n|---|---|---|---|"


def as_row(trial: Trial) -> str:
    """One row of the table for `docs/monitoring.md`."""
    by = ", ".join(f"{name} {count / trial.windows:.0%}" for name, count in trial.signals.most_common(5))
    return f"| {trial.scenario} | {trial.size} | {trial.flagged} of {trial.windows} | {by or '–'} |"


@click.command()
@click.argument("texts", type=click.Path(exists=True, path_type=Path, dir_okay=False))
@click.option(
    "--other", type=click.Path(exists=True, path_type=Path, dir_okay=False), help="Texts of another source."
)
@click.option(
    "--foreign",
    type=click.Path(exists=True, path_type=Path, dir_okay=False),
    help="Texts in another language.",
)
@click.option("--sizes", default="100,500,2000", show_default=True, help="Texts a window like the reference.")
@click.option("--windows", default=200, show_default=True, help="Windows like the reference, of each size.")
@click.option("--drifted-sizes", default="200", show_default=True, help="Texts a drifted window.")
@click.option(
    "--drifted-windows", default=60, show_default=True, help="Windows of each drifted kind and size."
)
@click.option("--seed", default=1, show_default=True)
def main(
    texts: Path,
    other: Path | None,
    foreign: Path | None,
    sizes: str,
    windows: int,
    drifted_sizes: str,
    drifted_windows: int,
    seed: int,
) -> None:
    """Measure false and true alarms of the served model's drift check.

    TEXTS, --other and --foreign are JSONL files with `text` (TEXTS with `label` too), like `python -m training data`
    writes. A size for which there are too few TEXTS is left out.
    """
    settings = MonitoringSettings()
    tracking, signing = TrackingSettings(), SigningSettings()
    registry = ModelRegistry(tracking)
    champion = find_champion(registry, tracking, signing)
    classifier = Classifier.load(champion.folder)
    known = set(champion.reference["text"])
    frame = read_texts(texts).drop_duplicates("text")
    frame = frame[~frame["text"].isin(known)]
    ways = scenarios(
        list(frame["text"]),
        list(frame["label"]),
        other=list(read_texts(other)["text"]) if other else (),
        foreign=list(read_texts(foreign)["text"]) if foreign else (),
    )
    plan = [
        (name, draw, int(size), windows if name == QUIET else drifted_windows)
        for name, draw in ways.items()
        for size in (sizes if name == QUIET else drifted_sizes).split(",")
        if int(size) <= len(frame)
    ]
    print(
        f"{champion.title}: {len(champion.reference)} reference texts, {len(frame)} other texts of its source\n"
    )
    print(HEADING, flush=True)
    for name, draw, size, count in plan:
        trial = run_trial(
            champion, classifier, draw, name, size=size, windows=count, settings=settings, seed=seed
        )
        print(as_row(trial), flush=True)  # as it comes: the whole table takes minutes


def read_texts(path: Path) -> pd.DataFrame:
    """One row a line of a JSONL file."""
    with path.open(encoding="utf-8") as file:
        return pd.DataFrame([json.loads(line) for line in file])


if __name__ == "__main__":
    sys.exit(main())
