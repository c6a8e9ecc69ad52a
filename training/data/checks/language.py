"""Which languages the texts are in, guessed by a model that comes with its package (py3langid)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from training.data.checks.config import ChecksConfig
from training.data.checks.finding import Finding, judged, quoted

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
        "other_languages", "Languages", share, words, judged(share, config.other_languages),
        tuple(examples[: config.examples]),
    ), dict(counts.most_common())  # fmt: skip


@lru_cache(maxsize=1)
def _identifier() -> Any:
    """The model that comes with its package; it takes half a second to read."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
