"""Live texts put into the parts: some to learn from, some held out, no near copy on both sides.

The source's own texts are divided as if there were no live texts, so a champion that learned from them has seen none
of those it is judged by. Where a live text goes follows from its own words, the seed, and how likely the label queue
was to choose it: one that is held out now is held out in every later retraining, whatever else is labelled by then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from training.data.duplicates import near_duplicate_groups, same_text
from training.data.live.config import LiveConfig
from training.data.live.reading import LiveTexts
from training.data.parts import Part


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
    """The part of a live text that is nobody's near copy: drawn by `times` the shares, by its words and the seed."""
    digest = hashlib.blake2b(f"{seed} {same_text(text)}".encode("utf-8", "replace"), digest_size=8).digest()
    luck = int.from_bytes(digest) / 2**64
    if luck < times * config.test:
        return "test"
    return "validation" if luck < times * (config.test + config.validation) else "train"


def _without(part: Part, texts: frozenset[str]) -> Part:
    if not texts:
        return part
    return part.rows([index for index, text in enumerate(part.texts) if same_text(text) not in texts])
