"""`split_data`: train, validation, test and reserve, each class in proportion, and no copy of a text in two."""

from __future__ import annotations

import numpy as np

from training.data.config import DataConfig, SplitConfig
from training.data.duplicates import near_duplicate_groups
from training.data.errors import ClassTooSmall
from training.data.loading import LoadedData
from training.data.parts import Part, Splits
from training.data.quotas import indices_by_label, quotas, subsample
from training.data.report import make_report

_SPLIT_STREAM = 2
_LARGEST_NEEDED = 100_000


def split_data(loaded: LoadedData, config: DataConfig, seed: int) -> Splits:
    """Divide texts by `config.split`; the same texts, configuration and seed give the same parts everywhere.

    Near-duplicates go to train, whole groups of them, so a held-out text is never a near copy of another text, in
    its own part or elsewhere. Where that takes more of a class than train's share, the held-out parts get less of it.

    Raises:
        ClassTooSmall: a class has too few texts to stand in every part.
    """
    texts, labels = loaded.texts, loaded.labels
    used = list(range(len(texts)))
    if config.split.total < 1 - 1e-9:
        used = subsample(labels, round(len(texts) * config.split.total), seed)
    groups = near_duplicate_groups([texts[index] for index in used], config.near_duplicate_similarity)
    copies = {used[position] for group in groups for position in group}

    rng = np.random.default_rng([seed, _SPLIT_STREAM])
    chosen: dict[str, list[int]] = {"train": [], "validation": [], "test": [], "reserve": []}
    for label, positions in indices_by_label([labels[index] for index in used]).items():
        indices = [used[position] for position in positions]
        single = rng.permutation([index for index in indices if index not in copies]).tolist()
        for name, count in _held_out(label, len(indices), len(single), config.split).items():
            chosen[name] += [single.pop() for _ in range(count)]
        chosen["train"] += single + [index for index in indices if index in copies]
    parts = {}
    for name, indices in chosen.items():
        shuffled = rng.permutation(sorted(indices)).astype(int).tolist()
        parts[name] = Part([texts[index] for index in shuffled], [labels[index] for index in shuffled])
    report = make_report(
        loaded, parts, groups=len(groups), near_duplicates=len(copies), unused=len(texts) - len(used)
    )
    return Splits(**parts, report=report)


def _held_out(label: str, total: int, single: int, split: SplitConfig) -> dict[str, int]:
    """How many texts of a class each held-out part gets, of its `total` and at most of its `single` ones."""
    shares = split.shares()
    counts = quotas(total, shares)
    needed = _smallest_class(shares)
    if min(counts.values()) < 1:
        raise ClassTooSmall(
            f"class {label!r} has {total} texts, and {needed} are needed for one in each of {', '.join(shares)}: "
            "add texts, merge the class into another, or change data.split"
        )
    del counts["train"]
    if sum(counts.values()) > single:
        counts = quotas(single, {name: shares[name] for name in counts})
        if min(counts.values()) < 1:
            raise ClassTooSmall(
                f"class {label!r} has {total} texts, but only {single} that are no near copies of others, too few "
                f"for one in each of {', '.join(counts)}: add texts, or raise data.near_duplicate_similarity"
            )
    return counts


def _smallest_class(shares: dict[str, float]) -> int:
    counts = range(len(shares), _LARGEST_NEEDED)
    return next((count for count in counts if min(quotas(count, shares).values()) >= 1), _LARGEST_NEEDED)
