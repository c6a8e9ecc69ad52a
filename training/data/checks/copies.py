"""Checks for copies: leaks between parts, duplicates, and conflicting labels."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from training.data.checks.findings import Finding, quoted, severity_of
from training.data.config import ChecksConfig
from training.data.dataset import LoadedData
from training.data.splits import Splits

_WORD = re.compile(r"\w+")


def leaks(splits: Splits, groups: Sequence[Sequence[int]], config: ChecksConfig) -> Finding:
    """Texts of one part with a copy in another, exact but for case and punctuation, or near.

    Splitting excludes them; this verifies the result. `groups` are near copies, as positions in
    all parts one after the other.
    """
    homes = [(name, text) for name, part in splits.parts().items() for text in part.texts]
    same: dict[str, list[int]] = {}
    for number, (_, text) in enumerate(homes):
        key = " ".join(_WORD.findall(text.casefold())) or text
        same.setdefault(key, []).append(number)
    torn = [
        group
        for group in (*same.values(), *groups)
        if len(group) > 1 and len({homes[number][0] for number in group}) > 1
    ]
    leaked = {number for group in torn for number in group}
    words = (
        f"{len(leaked)} texts have a copy in another part."
        if leaked
        else "No text has a copy in another part, exact or near."
    )
    examples = [
        " ⇄ ".join(f"{homes[number][0]}: {quoted(homes[number][1], 90)}" for number in group)
        for group in torn
    ]
    return Finding(
        "leaks", "Leaks between the parts", len(leaked), words, "error" if leaked else "note",
        tuple(examples[: config.examples]),
    )  # fmt: skip


def duplicates(loaded: LoadedData, splits: Splits, config: ChecksConfig) -> Finding:
    """Rows that repeat an earlier one, which are dropped, and texts that nearly do, which all go to train."""
    counts = loaded.counts
    usable = counts.read - counts.refused
    share = counts.exact_duplicates / usable if usable else 0.0
    near = splits.report.near_duplicates
    words = f"{counts.exact_duplicates:,} rows ({share:.1%}) repeat an earlier one and are dropped; " + (
        f"{near:,} texts in {splits.report.near_duplicate_groups:,} groups are near copies, all in train."
        if near
        else "no text is a near copy of another."
    )
    return Finding("duplicates", "Duplicates", share, words, severity_of(share, config.duplicates))


def conflicting_labels(
    loaded: LoadedData, splits: Splits, groups: Sequence[Sequence[int]], config: ChecksConfig
) -> Finding:
    """Copies of one text with different labels: exact ones are dropped, near ones stay, and both are listed."""
    rows = [row for part in splits.parts().values() for row in part]
    near = [group for group in groups if len({rows[number][1] for number in group}) > 1]
    texts = sum(len(group) for group in near)
    exact = loaded.counts.conflicting_labels
    total = len(rows) + exact
    share = (texts + exact) / total if total else 0.0
    words = (
        f"{exact:,} rows whose copies have other labels are dropped; {texts:,} texts in {len(near):,} groups of near "
        f"copies contradict one another ({share:.1%} together)."
        if exact or near
        else "No two copies of a text, exact or near, have different labels."
    )
    examples = [f"{_counted(labels)}: {quoted(text)}" for text, labels in loaded.conflicts.items()]
    for group in near:
        labels = dict(Counter(rows[number][1] for number in group))
        examples.append(f"{_counted(labels)}: {quoted(rows[group[0]][0])}")
    return Finding(
        "conflicting_labels", "Conflicting labels", share, words, severity_of(share, config.conflicting_labels),
        tuple(examples[: config.examples]),
    )  # fmt: skip


def _counted(labels: dict[str, int]) -> str:
    return ", ".join(f"{label} ×{count}" for label, count in sorted(labels.items()))
