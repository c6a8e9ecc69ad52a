"""Checks of the texts: class balance, lengths, truncation, markup and encoding errors, languages."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from training.data.checks.findings import Finding, quoted, severity_of
from training.data.config import ChecksConfig
from training.data.dataset import Part
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
