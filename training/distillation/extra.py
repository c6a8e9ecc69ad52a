"""Texts that nobody labelled: from a file, or altered copies of the training texts. None that is held out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from training.data import DataConfig, Splits
from training.data.duplicates import near_duplicate_groups
from training.data.loading import read_texts
from training.distillation.config import ExtraTextsConfig

_STREAM = 7
"""Which stream of the seed's random numbers."""


def extra_texts(config: ExtraTextsConfig, splits: Splits, seed: int) -> list[str]:
    """Texts for the teacher to label, by `config`; the same for the same seed.

    Raises:
        DataError: the source cannot be read.
    """
    rng = np.random.default_rng([seed, _STREAM])
    found: list[str] = []
    if config.source is not None:
        found += _of_source(config.source, splits, rng, config.limit)
    for _ in range(config.copies):
        found += [_altered(text, config, rng) for text in splits.train.texts]
    return found


def _of_source(source: DataConfig, splits: Splits, rng: np.random.Generator, limit: int) -> list[str]:
    texts = read_texts(source)
    known = {_key(text) for part in splits.parts().values() for text in part.texts}
    new = list({_key(text): text for text in texts if _key(text) not in known}.values())
    drawn = [new[index] for index in sorted(rng.permutation(len(new))[:limit])]
    return without_copies(drawn, splits, source.near_duplicate_similarity)


def without_copies(texts: Sequence[str], splits: Splits, similarity: float) -> list[str]:
    """`texts` without those that are near copies of a text of a held-out part."""
    held_out = [*splits.validation.texts, *splits.test.texts, *splits.reserve.texts]
    groups = near_duplicate_groups([*held_out, *texts], similarity)
    refused = {
        index - len(held_out) for group in groups if group[0] < len(held_out) for index in group
    }  # a group names its first text first
    return [text for index, text in enumerate(texts) if index not in refused]


def _altered(text: str, config: ExtraTextsConfig, rng: np.random.Generator) -> str:
    """A random run of the words of `text`, some left out; at least one word stays."""
    words = text.split()
    length = max(1, round(len(words) * rng.uniform(config.shortest, 1.0)))
    start = int(rng.integers(0, len(words) - length + 1))
    run = words[start : start + length]
    kept = [word for word, chance in zip(run, rng.random(len(run)), strict=True) if chance >= config.left_out]
    return " ".join(kept or run[:1])


def _key(text: str) -> str:
    return " ".join(text.split())
