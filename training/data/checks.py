"""Data checks, run before training: each returns a finding, and a finding of severity `error` stops the run.

Usage::

    findings = check_data(loaded, splits, config, seed=42)
    rich.print(findings)
    findings.stop_if_grave()
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from training.config.data import ChecksConfig, DataConfig
from training.data.dataset import LoadedData, Part
from training.data.deduplication import near_duplicate_groups
from training.data.findings import Finding, Findings, quoted, severity_of
from training.data.labels import is_list, joined_labels, kind_of_labels, label_variants
from training.data.splits import Splits

UNSURE = "unsure"
_FEWEST_LETTERS = 20
"""Below it, a guess is a throw of dice."""
_CHARACTERS = 500
"""Read of each text: enough to know a language by."""


def languages(texts: Sequence[str], config: ChecksConfig) -> tuple[Finding, dict[str, int]]:
    """The languages of `texts`: the finding, and language code (ISO 639-1) → texts, the most frequent first."""
    identifier = _identifier()
    guesses = []
    for text in texts:
        code, probability = identifier.classify(text[:_CHARACTERS])
        letters = sum(character.isalpha() for character in text)
        sure = probability >= config.language_certainty and letters >= _FEWEST_LETTERS
        guesses.append(str(code) if sure else UNSURE)
    counts = Counter(guesses)
    clear = [(code, count) for code, count in counts.most_common() if code != UNSURE]
    if not clear:
        words = f"None of {len(texts):,} texts has a clear language."
        return Finding("other_languages", "Languages", 0.0, words), dict(counts)
    main, most = clear[0]
    total = sum(count for _, count in clear)
    share = 1 - most / total
    words = f"Of {len(texts):,} texts, {most:,} are in {main!r}"
    if others := ", ".join(f"{count} in {code!r}" for code, count in clear[1:6]):
        words += f", {others}"
    words += f"; {counts[UNSURE]:,} have no clear language."
    examples = [
        f"{code}: {quoted(text)}"
        for text, code in zip(texts, guesses, strict=True)
        if code not in (main, UNSURE)
    ]
    return Finding(
        "other_languages", "Languages", share, words, severity_of(share, config.other_languages),
        tuple(examples[: config.examples]),
    ), dict(counts.most_common())  # fmt: skip


@lru_cache(maxsize=1)
def _identifier() -> Any:
    """The model that comes with its package; it takes half a second to read."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


_COUNTED_TEXTS = 2_000
_MARKUP = re.compile(r"</?[a-zA-Z][^<>]{0,80}>|&(?:[a-z]{2,8}|#\d{2,5});|(?<![&\w])#\d{2,5};")
_WRONG_ENCODING = re.compile(
    r"\ufffd|Ã[\x80-\xbf]|â€[\x80-\xbf™œ“”˜¦]?|Â[\xa0-\xbf]|[\x00-\x08\x0b\x0e-\x1f]"
)

UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Characters of scripts that put no space between words."""


@dataclass(frozen=True)
class Reader:
    """How one candidate reads texts."""

    max_length: int
    """Tokens that it reads."""
    count_tokens: Callable[[Sequence[str]], list[int]]
    """Tokens of each whole text, special tokens included."""


def balance(splits: Splits, config: ChecksConfig) -> Finding:
    """The largest class of the training part against the smallest."""
    counts = Counter(splits.train.labels).most_common()
    (largest, most), (smallest, least) = counts[0], counts[-1]
    ratio = most / least
    words = (
        f"{len(counts)} classes; the largest in train, {largest}, has {most:,} texts, the smallest, {smallest}, "
        f"{least:,} ({ratio:.1f} times)."
    )
    return Finding("imbalance", "Class balance", ratio, words, severity_of(ratio, config.imbalance))


def lengths(splits: Splits) -> Finding:
    """Words and characters of a text, over all parts."""
    texts = [text for part in splits.parts().values() for text in part.texts]
    words = np.asarray([len(text.split()) for text in texts])
    low, median, high = np.quantile(words, [0.05, 0.5, 0.95])
    longest = max(len(text) for text in texts)
    said = (
        f"A text has {median:,.0f} words in the median; nine of ten have {low:,.0f} to {high:,.0f}; the longest has "
        f"{longest:,} characters."
    )
    return Finding("median_words", "Lengths", float(median), said)


def truncated(
    part: Part, readers: Mapping[str, Reader], config: ChecksConfig, chosen: Sequence[int]
) -> list[Finding]:
    """Share of the texts that each network reads only in part; of a sample, where there are many."""
    texts = [part.texts[index] for index in chosen[:_COUNTED_TEXTS]]
    found = []
    for name, reader in readers.items():
        tokens = np.asarray(reader.count_tokens(texts))
        share = float((tokens > reader.max_length).mean())
        words = (
            f"{name} reads {reader.max_length} tokens and so cuts {share:.0%} of the training texts; the median has "
            f"{np.median(tokens):,.0f} tokens."
        )
        found.append(
            Finding(
                f"truncated_{name}", f"What {name} reads", share, words, severity_of(share, config.truncated)
            )
        )
    return found


def suspicious(splits: Splits, config: ChecksConfig) -> Finding:
    """Texts that are very short, have no letters, or show what went wrong before they came here."""
    counts: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    total = 0
    for name, part in splits.parts().items():
        for text in part.texts:
            total += 1
            for fault in _faults(text, config.shortest)[:1]:  # each text counts once, for the gravest
                counts[fault] += 1
                examples.setdefault(fault, []).append(f"{name}, {fault}: {quoted(_shown(text, fault))}")
    share = sum(counts.values()) / total
    said = ", ".join(f"{count:,} {fault}" for fault, count in counts.most_common())
    words = f"{share:.1%} of the texts are suspicious: {said}." if counts else "No text is suspicious."
    shown = [line for lines in examples.values() for line in lines[: config.examples]]
    return Finding(
        "suspicious", "Suspicious rows", share, words, severity_of(share, config.suspicious), tuple(shown)
    )


def _faults(text: str, shortest: int) -> list[str]:
    found = []
    if not any(character.isalpha() for character in text):
        found.append("without a letter")
    if _WRONG_ENCODING.search(text):
        found.append("in a wrong encoding")
    if _MARKUP.search(text):
        found.append("with markup")
    if len(text.split()) < shortest and len(UNSPACED.findall(text)) < shortest:
        found.append("very short")
    return found


def _shown(text: str, fault: str) -> str:
    """The text from a little before what is wrong with it."""
    pattern = {"in a wrong encoding": _WRONG_ENCODING, "with markup": _MARKUP}.get(fault)
    match = pattern.search(text) if pattern else None
    return text[max(0, match.start() - 60) :] if match else text


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


def check_data(
    loaded: LoadedData,
    splits: Splits,
    config: DataConfig,
    *,
    seed: int,
    readers: Mapping[str, Reader] | None = None,
) -> Findings:
    """Look at everything; nothing is raised, see `Findings.stop_if_grave`.

    Args:
        loaded: what was read.
        splits: what was made of it.
        config: with the limits in `config.checks`.
        seed: draws the texts of those checks that look at some only.
        readers: network → how it reads texts.
    """
    checks = config.checks
    rows = [row for part in splits.parts().values() for row in part]
    groups = near_duplicate_groups([text for text, _ in rows], config.near_duplicate_similarity)
    chance = random.Random(seed)
    sample = chance.sample(range(len(rows)), min(checks.language_texts, len(rows)))
    train = chance.sample(range(len(splits.train)), len(splits.train))
    found = [
        leaks(splits, groups, checks),
        *columns(loaded),
        unlabelled(loaded, checks),
        variants(loaded, checks),
        no_classes(loaded, checks),
        small_classes(splits, checks),
        duplicates(loaded, splits, checks),
        conflicting_labels(loaded, splits, groups, checks),
        balance(splits, checks),
        lengths(splits),
        *truncated(splits.train, readers or {}, checks, train),
        suspicious(splits, checks),
    ]
    counts: dict[str, int] = {}
    if sample:
        finding, counts = languages([rows[index][0] for index in sample], checks)
        found.append(finding)
    return Findings(tuple(found), counts)
