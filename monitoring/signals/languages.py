"""Which languages the texts are in, guessed by a model that comes with its package (py3langid)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

UNSURE = "unsure"
_CERTAIN = 0.9
_FEWEST_LETTERS = 20
"""Below it, a guess is a throw of dice."""
_CHARACTERS = 300
"""Read of each text: enough to know a language by."""


def languages_of(texts: Sequence[str]) -> list[str]:
    """The language of each text as its ISO 639-1 code, or `unsure`."""
    return [_guess(text[:_CHARACTERS]) for text in texts]


@lru_cache(maxsize=8192)  # the reference is the same at every check of a watch
def _guess(text: str) -> str:
    if sum(map(str.isalpha, text)) < _FEWEST_LETTERS:
        return UNSURE
    code, probability = _identifier().classify(text)
    return str(code) if probability >= _CERTAIN else UNSURE


@lru_cache(maxsize=1)
def _identifier() -> Any:
    """The model; it takes half a second to read."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
