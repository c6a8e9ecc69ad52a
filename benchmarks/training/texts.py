"""Texts for the benchmark: AG News, or what is packaged, cut to the length of news."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from training.data import DataConfig, Part, SplitConfig, Splits, load_data, split_data

_AG_NEWS = {"1": "world", "2": "sports", "3": "business", "4": "sci_tech"}
_WORDS = 40  # of an AG News text, on average
_VALIDATION = 64
_STREAM = 5


@dataclass(frozen=True)
class BenchmarkTexts:
    """What is trained on, and where it is from."""

    splits: Splits
    source: str
    """In words, for the report."""


def benchmark_texts(path: Path | None, *, train: int, test: int, seed: int) -> BenchmarkTexts:
    """So many training and test texts, from a file or from BBC News.

    Args:
        path: a file in AG News' own layout (class, title, description; no header), or any with a text and a label
            column; None: the packaged BBC News, its articles cut into pieces of about the length of an AG News text.
        train: training texts, at most.
        test: test texts, at most.
        seed: decides which.

    Raises:
        DataError: it cannot be read.
    """
    if path is None:
        data = DataConfig(split=SplitConfig(train=0.5, validation=0.1, test=0.4, holdout=0))
        source = f"BBC News (packaged), cut into pieces of about {_WORDS} words"
    elif _in_ag_layout(path):
        data = DataConfig(
            source=str(path),
            header=False,
            column_names=("class", "title", "description"),
            text_column=("title", "description"),
            label_column="class",
            label_names=_AG_NEWS,
            limit=4 * (train + test),
        )
        source = f"AG News ({path.name})"
    else:
        data = DataConfig(source=str(path), limit=4 * (train + test))
        source = path.name
    splits = split_data(load_data(data, seed), data, seed)
    if path is None:
        splits = replace(
            splits, train=_cut(splits.train), validation=_cut(splits.validation), test=_cut(splits.test)
        )
    rng = np.random.default_rng([seed, _STREAM])
    return BenchmarkTexts(
        replace(
            splits,
            train=_drawn(splits.train, train, rng),
            validation=_drawn(splits.validation, _VALIDATION, rng),
            test=_drawn(splits.test, test, rng),
        ),
        source,
    )


def _in_ag_layout(path: Path) -> bool:
    if path.suffix != ".csv":
        return False
    with path.open(encoding="utf-8", newline="") as file:
        first = next(csv.reader(file), [])
    return len(first) == 3 and first[0] in _AG_NEWS


def _cut(part: Part) -> Part:
    """Articles as pieces of whole sentences, each about as long as a news text; what is left over is dropped."""
    pieces = [(piece, label) for text, label in part for piece in _pieces(text)]
    return Part([piece for piece, _ in pieces], [label for _, label in pieces])


def _pieces(text: str) -> Iterator[str]:
    words: list[str] = []
    for sentence in re.split(r"(?<=[.!?])\s+", text):
        words += sentence.split()
        if len(words) >= _WORDS:
            yield " ".join(words)
            words = []


def _drawn(part: Part, count: int, rng: np.random.Generator) -> Part:
    chosen = rng.permutation(len(part))[:count].tolist()
    return Part([part.texts[index] for index in chosen], [part.labels[index] for index in chosen])
