"""`split_data`: a stratified split into train, validation, test and holdout, without copies across parts."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from training.config.data import DataConfig, LiveConfig, SplitConfig
from training.data.dataset import LiveTexts, LoadedData, Part
from training.data.deduplication import near_duplicate_groups, same_text
from training.data.labels import kind_of_labels, label_variants
from training.data.splits import Splits, make_report
from training.errors import ClassTooSmall, DataRefused

_SUBSAMPLE_STREAM = 1
"""Which stream of the seed's random numbers; the split takes another."""


def quotas(total: int, shares: Mapping[str, float]) -> dict[str, int]:
    """`total` shared out by `shares`, exactly (largest remainders; the earlier name wins a tie).

    >>> quotas(10, {"train": 0.66, "test": 0.34})
    {'train': 7, 'test': 3}
    """
    whole = sum(shares.values())
    exact = {name: total * share / whole for name, share in shares.items()}
    # Rounded first, so that 2.9999999 counts as the 3 that it means.
    counts = {name: math.floor(round(value, 9)) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: round(counts[name] - exact[name], 9))
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def subsample(labels: Sequence[str], limit: int, seed: int) -> list[int]:
    """Indices of `limit` rows in order, each class in proportion, chosen by `seed`."""
    rng = np.random.default_rng([seed, _SUBSAMPLE_STREAM])
    by_label = indices_by_label(labels)
    wanted = quotas(limit, {label: len(found) / len(labels) for label, found in by_label.items()})
    chosen: list[int] = []
    for label, found in by_label.items():
        chosen += rng.permutation(found)[: wanted[label]].tolist()
    return sorted(chosen)


def indices_by_label(labels: Sequence[str]) -> dict[str, list[int]]:
    """Label → its rows, labels sorted, so that nothing depends on which came first."""
    found: dict[str, list[int]] = {label: [] for label in sorted(set(labels))}
    for index, label in enumerate(labels):
        found[label].append(index)
    return found


_LARGEST_NEEDED = 100_000
_MOST_NAMED = 10


class SmallClass(NamedTuple):
    """A class that cannot be in every part."""

    texts: int
    single: int
    """Those of its texts that are near copies of no other."""


def small_classes_message(
    small: Mapping[str, SmallClass], labels: Sequence[str], shares: Mapping[str, float], config: DataConfig
) -> str:
    """What is wrong with the classes `small`, and what to change.

    Args:
        small: class → its texts.
        labels: the label of every text.
        shares: part → share of the split.
        config: of the data.
    """
    classes = set(labels)
    if len(classes) > len(labels) / 2:
        return (
            f"the label column of {config.source} has {len(classes):,} different values in {len(labels):,} texts: "
            f"{_advice(labels, config) or 'is it the right one? data.label_column names another.'}"
        )
    parts = ", ".join(shares)
    needed = _smallest_class(shares)
    few = {label: found for label, found in small.items() if found.texts < needed}
    said = []
    if len(few) == 1:
        label, found = next(iter(few.items()))
        said.append(
            f"class {label!r} has {_texts(found.texts)}, and {needed} are needed for one in each of {parts}"
        )
    elif few:
        said.append(
            f"{len(few):,} of {len(classes):,} classes have too few texts, {needed} are needed for one in each of "
            f"{parts}: {_named({label: found.texts for label, found in few.items()})}"
        )
    said += [
        f"class {label!r} has {_texts(found.texts)}, but only {found.single} that are no near copies of others, too "
        f"few for one in each of {parts} (data.near_duplicate_similarity says what a near copy is)"
        for label, found in list(small.items())[:_MOST_NAMED]
        if label not in few
    ]
    advice = _advice(labels, config)
    if not advice:
        advice = (
            "add texts, merge classes by data.label_names, leave them out by data.small_classes=drop, or change "
            "data.split"
        )
    return f"{'; '.join(said)}: {advice}"


def _advice(labels: Sequence[str], config: DataConfig) -> str:
    """What the labels themselves suggest; empty where they look like names of classes."""
    kind = kind_of_labels(set(labels))
    if kind == "numbers":
        return "they are numbers, of which data.label_bins makes classes, such as {low: 2, high: null}"
    if kind == "dates":
        return "they are dates: data.label_column names another column"
    variants = label_variants(labels)
    if variants and not config.join_label_variants:
        return (
            f"some differ by case, blanks or number format only ({variants[0]}), and data.join_label_variants=true "
            "makes them one; or data.small_classes=drop leaves classes out that are too small"
        )
    return ""


def _named(counts: Mapping[str, int]) -> str:
    ranked = sorted(counts.items(), key=lambda item: (item[1], item[0]))
    shown = ", ".join(f"{label!r} ({count})" for label, count in ranked[:_MOST_NAMED])
    return shown + (f" and {len(ranked) - _MOST_NAMED:,} more" if len(ranked) > _MOST_NAMED else "")


def _texts(count: int) -> str:
    return f"{count} text" if count == 1 else f"{count} texts"


def _smallest_class(shares: Mapping[str, float]) -> int:
    counts = range(len(shares), _LARGEST_NEEDED)
    return next((count for count in counts if min(quotas(count, shares).values()) >= 1), _LARGEST_NEEDED)


def with_live(
    parts: Mapping[str, Part],
    live: LiveTexts,
    config: LiveConfig,
    *,
    unlabelled: Sequence[str],
    similarity: float,
    seed: int,
) -> dict[str, Part]:
    """`parts` with the live texts added; the source's texts that they contradict are taken out.

    Near copies of one another, or of a text that is learned from, go to train; near copies of a held-out text are left
    out, and counted in `live.counts`.

    Args:
        parts: name → texts of the source.
        live: what to add.
        config: the shares.
        unlabelled: texts of the source that are learned from without their labels.
        similarity: from which texts are near copies.
        seed: of the experiment.
    """
    counts = live.counts
    kept = {name: _without(part, live.contradicted) for name, part in parts.items()}
    counts.contradicted = sum(len(parts[name]) - len(part) for name, part in kept.items())
    held_out = [text for name, part in kept.items() if name != "train" for text in part.texts]
    before = [*held_out, *kept["train"].texts, *unlabelled]
    refused: set[int] = set()
    learned: set[int] = set()
    for group in near_duplicate_groups([*before, *live.part.texts], similarity):
        ours = [index - len(before) for index in group if index >= len(before)]
        # A group names its members in order, so a held-out text comes first.
        (refused if group[0] < len(held_out) else learned).update(ours)
    counts.near_held_out = len(refused)
    chosen: dict[str, list[int]] = {name: [] for name in parts}
    held_out_more = live.held_out or [1.0] * len(live.part)
    for index, (text, times) in enumerate(zip(live.part.texts, held_out_more, strict=True)):
        if index not in refused:
            chosen["train" if index in learned else part_of(text, config, seed, times)].append(index)
    return {name: part + live.part.rows(chosen[name]) for name, part in kept.items()}


def part_of(text: str, config: LiveConfig, seed: int, times: float = 1.0) -> str:
    """The part of a live text without near copies: sampled with `times` the shares, from its words and the seed."""
    digest = hashlib.blake2b(f"{seed} {same_text(text)}".encode("utf-8", "replace"), digest_size=8).digest()
    luck = int.from_bytes(digest) / 2**64
    if luck < times * config.test:
        return "test"
    return "validation" if luck < times * (config.test + config.validation) else "train"


def _without(part: Part, texts: frozenset[str]) -> Part:
    if not texts:
        return part
    return part.rows([index for index, text in enumerate(part.texts) if same_text(text) not in texts])


_SPLIT_STREAM = 2


def split_data(loaded: LoadedData, config: DataConfig, seed: int) -> Splits:
    """Divide texts by `config.split`; the same texts, configuration and seed give the same parts everywhere.

    Near-duplicates go to train, whole groups of them, so a held-out text is never a near copy of another text, in
    its own part or elsewhere. Where that takes more of a class than train's share, the held-out parts get less of it.
    With an unlabelled share they go there, and to train only where it has too few other texts of a class.
    Live texts are added last, and change nothing about where the others are (training/data/split.py).

    Raises:
        ClassTooSmall: a class has too few texts for every part.
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
    chosen: dict[str, list[int]] = {
        "train": [],
        "validation": [],
        "test": [],
        "holdout": [],
        "calibration": [],
    }
    unlabelled: list[int] = []
    by_label = indices_by_label([labels[index] for index in used])
    shares = {name: float(count) for name, count in numbers.items()} or config.split.shares()
    shared_out = _shared_out({label: len(found) for label, found in by_label.items()}, config.split)
    too_small = {}
    for label, positions in by_label.items():
        indices = [used[position] for position in positions]
        single = rng.permutation([index for index in indices if index not in copies]).tolist()
        held_out = _held_out(shared_out[label], len(single), shares)
        if held_out is None:
            too_small[label] = SmallClass(len(indices), len(single))
            continue
        for name, count in held_out.items():
            chosen[name] += [single.pop() for _ in range(count)]
        rest = single + [index for index in indices if index in copies]
        learned = shared_out[label]["train"] if "unlabelled" in shares else len(rest)
        chosen["train"] += rest[:learned]
        unlabelled += rest[learned:]
    if too_small:
        if config.small_classes == "refuse":
            raise ClassTooSmall(small_classes_message(too_small, labels, shares, config))
        left = set(labels) - set(too_small)
        if len(left) < 2:
            raise DataRefused(
                f"{config.source}: data.small_classes=drop leaves {len(left)} of {len(set(labels))} classes: a "
                "classifier needs two or more"
            )
        return split_data(loaded.without(too_small), config, seed)
    parts = {
        name: loaded.part.rows(rng.permutation(sorted(indices)).astype(int).tolist())
        for name, indices in chosen.items()
    }
    # Their labels are dropped from here on.
    nameless = tuple(texts[index] for index in rng.permutation(sorted(unlabelled)).astype(int).tolist())
    if loaded.live is not None and config.live is not None:
        parts = with_live(
            parts, loaded.live, config.live,
            unlabelled=nameless, similarity=config.near_duplicate_similarity, seed=seed,
        )  # fmt: skip
    calibration = tuple(parts.pop("calibration").texts)
    report = make_report(
        loaded, parts, groups=len(groups), near_duplicates=len(copies),
        unused=len(texts) - len(used), unlabelled=len(unlabelled), calibration=len(calibration),
    )  # fmt: skip
    cleaning = config.clean if config.clean.changes else None
    return Splits(**parts, report=report, unlabelled=nameless, calibration=calibration, cleaning=cleaning)


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


def _held_out(counts: dict[str, int], single: int, shares: dict[str, float]) -> dict[str, int] | None:
    """How many texts of a class each held-out part gets: what it was given, and all of them at most `single`.

    None where a part would get none.
    """
    if min(counts.values()) < 1:
        return None
    held = {name: count for name, count in counts.items() if name not in ("train", "unlabelled")}
    if sum(held.values()) > single:
        held = quotas(single, {name: shares[name] for name in held})
        if min(held.values()) < 1:
            return None
    return held
