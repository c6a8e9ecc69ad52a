"""`split_data`: train, validation, test and reserve, each class in proportion, and no copy of a text in two."""

from __future__ import annotations

import numpy as np

from training.data.config import DataConfig, SplitConfig
from training.data.duplicates import near_duplicate_groups
from training.data.errors import ClassTooSmall, DataRefused
from training.data.live.dividing import with_live
from training.data.loading import LoadedData
from training.data.parts import Splits
from training.data.quotas import indices_by_label, quotas, subsample
from training.data.report import make_report

_SPLIT_STREAM = 2
_LARGEST_NEEDED = 100_000


def split_data(loaded: LoadedData, config: DataConfig, seed: int) -> Splits:
    """Divide texts by `config.split`; the same texts, configuration and seed give the same parts everywhere.

    Near-duplicates go to train, whole groups of them, so a held-out text is never a near copy of another text, in
    its own part or elsewhere. Where that takes more of a class than train's share, the held-out parts get less of it.
    With an unlabelled share they go there, and to train only where it has too few other texts of a class.
    Live texts are added last, and change nothing about where the others are (training/data/live/dividing.py).

    Raises:
        ClassTooSmall: a class has too few texts to stand in every part.
        DataRefused: the split asks for more texts than there are.
    """
    texts, labels = loaded.texts, loaded.labels
    used = list(range(len(texts)))
    if numbers := config.split.numbers():
        wanted = sum(numbers.values())
        if wanted > len(texts):
            raise DataRefused(
                f"data.split asks for {wanted:,} texts in all, and {config.source} has {len(texts):,} that can be used"
            )
        used = subsample(labels, wanted, seed)
    elif config.split.total < 1 - 1e-9:
        used = subsample(labels, round(len(texts) * config.split.total), seed)
    groups = near_duplicate_groups([texts[index] for index in used], config.near_duplicate_similarity)
    copies = {used[position] for group in groups for position in group}

    rng = np.random.default_rng([seed, _SPLIT_STREAM])
    chosen: dict[str, list[int]] = {"train": [], "validation": [], "test": [], "reserve": []}
    unlabelled: list[int] = []
    by_label = indices_by_label([labels[index] for index in used])
    shares = {name: float(count) for name, count in numbers.items()} or config.split.shares()
    shared_out = _shared_out({label: len(found) for label, found in by_label.items()}, config.split)
    for label, positions in by_label.items():
        indices = [used[position] for position in positions]
        single = rng.permutation([index for index in indices if index not in copies]).tolist()
        for name, count in _held_out(label, shared_out[label], len(single), shares).items():
            chosen[name] += [single.pop() for _ in range(count)]
        rest = single + [index for index in indices if index in copies]
        learned = shared_out[label]["train"] if "unlabelled" in shares else len(rest)
        chosen["train"] += rest[:learned]
        unlabelled += rest[learned:]
    parts = {
        name: loaded.part.rows(rng.permutation(sorted(indices)).astype(int).tolist())
        for name, indices in chosen.items()
    }
    # From here on nobody knows their labels.
    nameless = tuple(texts[index] for index in rng.permutation(sorted(unlabelled)).astype(int).tolist())
    if loaded.live is not None and config.live is not None:
        parts = with_live(
            parts, loaded.live, config.live,
            unlabelled=nameless, similarity=config.near_duplicate_similarity, seed=seed,
        )  # fmt: skip
    report = make_report(
        loaded, parts, groups=len(groups), near_duplicates=len(copies),
        unused=len(texts) - len(used), unlabelled=len(unlabelled),
    )  # fmt: skip
    return Splits(**parts, report=report, unlabelled=nameless)


def _shared_out(sizes: dict[str, int], split: SplitConfig) -> dict[str, dict[str, int]]:
    """Label → part → texts, for labels with so many texts each."""
    if not (numbers := split.numbers()):
        return {label: quotas(size, split.shares()) for label, size in sizes.items()}
    held = {name: quotas(count, sizes) for name, count in numbers.items() if name != "train"}
    # What is left of each class is train's, which makes every part exactly as large as was asked.
    return {
        label: {
            "train": size - sum(counts[label] for counts in held.values()),
            **{name: counts[label] for name, counts in held.items()},
        }
        for label, size in sizes.items()
    }


def _held_out(label: str, counts: dict[str, int], single: int, shares: dict[str, float]) -> dict[str, int]:
    """How many texts of a class each held-out part gets: what it was given, and all of them at most `single`."""
    total = sum(counts.values())
    if min(counts.values()) < 1:
        needed = _smallest_class(shares)
        raise ClassTooSmall(
            f"class {label!r} has {total} texts, and {needed} are needed for one in each of {', '.join(counts)}: "
            "add texts, merge the class into another, or change data.split"
        )
    held = {name: count for name, count in counts.items() if name not in ("train", "unlabelled")}
    if sum(held.values()) > single:
        held = quotas(single, {name: shares[name] for name in held})
        if min(held.values()) < 1:
            raise ClassTooSmall(
                f"class {label!r} has {total} texts, but only {single} that are no near copies of others, too few "
                f"for one in each of {', '.join(held)}: add texts, or raise data.near_duplicate_similarity"
            )
    return held


def _smallest_class(shares: dict[str, float]) -> int:
    counts = range(len(shares), _LARGEST_NEEDED)
    return next((count for count in counts if min(quotas(count, shares).values()) >= 1), _LARGEST_NEEDED)
