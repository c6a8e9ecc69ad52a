"""Two kinds of traffic for the demo: the news the champion was trained for, and news that has changed."""

from __future__ import annotations

import json
import random
import string
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Labelled:
    """A text and the label that is true."""

    text: str
    label: str


def read_texts(path: Path) -> list[Labelled]:
    """Texts and labels of a JSONL file that `python -m training data` wrote."""
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    return [Labelled(row["text"], row["label"]) for row in rows]


def drifted(texts: list[Labelled], *, seed: int) -> list[Labelled]:
    """What the same newsroom might send next month: one topic crowds out the rest, and typing gets careless.

    Every article of the most frequent topic stays, every second of the others; in each, 15 % of the letters are
    mistyped.
    """
    counts: dict[str, int] = {}
    for item in texts:
        counts[item.label] = counts.get(item.label, 0) + 1
    crowding = max(sorted(counts), key=counts.__getitem__)
    others = [item for item in texts if item.label != crowding]
    kept = [item for item in texts if item.label == crowding] + others[::2]
    rng = random.Random(seed)
    rng.shuffle(kept)
    return [Labelled(mistyped(item.text, share=0.15, rng=rng), item.label) for item in kept]


def mistyped(text: str, *, share: float, rng: random.Random) -> str:
    """`text` with a `share` of its letters replaced by random ones."""
    return "".join(
        rng.choice(string.ascii_lowercase) if letter.isalpha() and rng.random() < share else letter
        for letter in text
    )
