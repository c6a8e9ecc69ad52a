"""Checks of the labels: columns, missing labels, spelling variants, too many or too small classes."""

from __future__ import annotations

from collections import Counter

from training.data.checks.findings import Finding, quoted, severity_of
from training.data.config import ChecksConfig
from training.data.dataset import LoadedData
from training.data.labels import is_list, joined_labels, kind_of_labels, label_variants
from training.data.splits import Splits

_MOST_NAMED = 8


def columns(loaded: LoadedData) -> list[Finding]:
    """Where text and label were taken from, and what else has a common name; nothing for a packaged source."""
    found = loaded.columns
    if found is None:
        return []
    words = f"The text is taken from {_listed(found.texts)}, the label from {found.label!r}"
    words += f", the row's identifier from {found.id!r}." if found.id else "."
    for others, key in ((found.other_texts, "text_column"), (found.other_labels, "label_column")):
        if others:
            words += (
                f" {_listed(others)} {'has a name' if len(others) == 1 else 'have names'} that would do, too: "
                f"data.{key} chooses."
            )
    count = len(found.other_texts) + len(found.other_labels)
    return [Finding("other_columns", "Columns", count, words, "warning" if found.other_labels else "note")]


def unlabelled(loaded: LoadedData, config: ChecksConfig) -> Finding:
    """Rows without a label, and the words that say so."""
    counts = loaded.counts
    share = counts.unlabelled / counts.read if counts.read else 0.0
    words = f"{counts.unlabelled:,} of {counts.read:,} rows ({share:.1%}) have no label and are not used"
    if counts.missing_labels:
        named = ", ".join(
            f"{word} ×{rows}" for word, rows in list(counts.missing_labels.items())[:_MOST_NAMED]
        )
        words += (
            f"; {sum(counts.missing_labels.values()):,} of them hold a word of data.missing_labels ({named})"
        )
    if not counts.unlabelled:
        words = "Every row has a label"
    return Finding(
        "unlabelled", "Rows without a label", share, words + ".", severity_of(share, config.unlabelled)
    )


def variants(loaded: LoadedData, config: ChecksConfig) -> Finding:
    """Classes that differ from another only by case, blanks, Unicode form or number format."""
    groups = label_variants(loaded.labels)
    classes = sum(len(group.spellings) - 1 for group in groups)
    words = "No two classes differ by case, blanks, Unicode form or number format only."
    if groups:
        named = "; ".join(str(group) for group in groups[:_MOST_NAMED])
        words = (
            f"{classes:,} {'class is' if classes == 1 else 'classes are'} another class in a different spelling: "
            f"{named}. data.join_label_variants=true joins them."
        )
    if joined := loaded.counts.joined_labels:
        named = "; ".join(
            f"{label} ← {', '.join(f'{spelling!r} ×{rows}' for spelling, rows in spellings.items())}"
            for label, spellings in list(joined.items())[:_MOST_NAMED]
        )
        words += f" Joined while reading: {named}."
    return Finding(
        "label_variants",
        "Spellings of one label",
        classes,
        words,
        severity_of(classes, config.label_variants),
    )


def no_classes(loaded: LoadedData, config: ChecksConfig) -> Finding:
    """Labels that are numbers, dates, lists, or several labels in one."""
    counts = Counter(loaded.labels)
    said, rows = [], 0
    kind = kind_of_labels(counts)
    if kind != "words":
        rows = len(loaded)
        advice = (
            "data.label_bins makes classes of ranges." if kind == "numbers" else "is it the right column?"
        )
        said.append(f"The {len(counts):,} labels are all {kind}: {advice}")
    lists = {label: count for label, count in counts.items() if is_list(label)}
    several = {label: counts[label] for label in joined_labels(counts)}
    for found, what in ((lists, "is a list"), (several, "consists of other labels")):
        if found:
            rows += sum(found.values())
            named = ", ".join(
                f"{quoted(label, 40)!r} ×{count}" for label, count in list(found.items())[:_MOST_NAMED]
            )
            said.append(
                f"The label of {sum(found.values()):,} texts {what} ({named}); one per text is needed."
            )
    share = min(1.0, rows / len(loaded)) if len(loaded) else 0.0
    words = " ".join(said) or "Every label is the name of a class."
    severity = severity_of(share, config.no_classes)
    return Finding("no_classes", "Labels that are no classes", share, words, severity)


def small_classes(splits: Splits, config: ChecksConfig) -> Finding:
    """Classes with few texts to learn from, and those that were left out for it."""
    few = [
        (label, count)
        for label, count in reversed(Counter(splits.train.labels).most_common())
        if count < config.few_texts
    ]
    words = f"Every class has {config.few_texts} texts or more to learn from."
    if few:
        named = ", ".join(f"{label} ({count})" for label, count in few[:_MOST_NAMED])
        words = (
            f"{len(few):,} {'class has' if len(few) == 1 else 'classes have'} fewer than {config.few_texts} texts to "
            f"learn from: {named}{', …' if len(few) > _MOST_NAMED else ''}."
        )
    if dropped := splits.report.rows.small_classes:
        named = ", ".join(f"{label} ({count})" for label, count in list(dropped.items())[:_MOST_NAMED])
        words += f" Left out as too small for the split (data.small_classes=drop): {named}."
    return Finding(
        "small_classes", "Small classes", len(few), words, severity_of(len(few), config.small_classes)
    )


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join(
        [", ".join(map(repr, names[:-1])), repr(names[-1])] if len(names) > 1 else map(repr, names)
    )
