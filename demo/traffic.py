"""Two kinds of traffic for the demo: the news the champion was trained for, and news that has changed."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path

MISREAD = str.maketrans({"e": "c", "a": "o", "l": "1"})
"""Letter → what the demo's scanner makes of it."""


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
    """The same news through a new scanner, which misreads three letters in every article; in another order.

    The change is systematic, so a model that is trained on such articles can learn it.
    """
    shuffled = random.Random(seed).sample(texts, len(texts))
    return [Labelled(item.text.translate(MISREAD), item.label) for item in shuffled]
