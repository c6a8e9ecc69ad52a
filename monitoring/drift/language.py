"""The signal `language`: the mix of languages, identified by py3langid, whose model is part of the package."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import Field

from monitoring.drift.categorical import CategoricalSignal
from monitoring.drift.signal import DriftData, Sides, SignalSettings, register_signal

T = TypeVar("T")

UNSURE = "unsure"
_CERTAIN = 0.9
_MIN_LETTERS = 20
"""Shorter texts are `unsure`."""
_CHARACTERS = 300
"""Characters of each text that are read."""
_MAX_TEXTS = 500
"""Texts of each side: identification costs as much as all other measurements of a text together."""


class LanguageSettings(SignalSettings):
    """Effect floor of `language`."""

    monitoring_min_language_shift: float = Field(default=0.1, ge=0, le=1)
    """Effect floor of the mix of languages: Jensen-Shannon distance."""


@register_signal
class Language(CategoricalSignal):
    """Mix of the languages of the texts."""

    name, title, unit, order = "language", "Languages", "% of texts", 30
    settings_class = LanguageSettings
    settings: LanguageSettings
    needs_text = True
    possible_cause = "texts in another language, or in none"

    def floor(self, data: DriftData) -> float:  # noqa: ARG002
        """MONITORING_MIN_LANGUAGE_SHIFT."""
        return self.settings.monitoring_min_language_shift

    def sides(self, data: DriftData) -> Sides:
        """One language per text, of evenly spaced texts."""
        sides = Sides(
            identify_languages(_evenly_spaced(data.reference_texts)),
            identify_languages(_evenly_spaced(data.window_texts)),
            times=_evenly_spaced([row.created_at for row in data.window.distinct]),
        )
        _identifier.cache_clear()  # it holds 70 MiB, more than any other part of a check
        return sides

    def clause(self, category: str, change: str) -> str:
        """`texts in 'de' went from 1% to 20%`."""
        return f"{'texts in no clear language' if category == UNSURE else f'texts in {category!r}'} {change}"


def identify_languages(texts: Sequence[str]) -> list[str]:
    """The language of each text as its ISO 639-1 code, or `unsure`."""
    return [_guess(text[:_CHARACTERS]) for text in texts]


@lru_cache(maxsize=8192)  # the reference is the same at every check of a watch
def _guess(text: str) -> str:
    if sum(map(str.isalpha, text)) < _MIN_LETTERS:
        return UNSURE
    code, probability = _identifier().classify(text)
    return str(code) if probability >= _CERTAIN else UNSURE


@lru_cache(maxsize=1)
def _identifier() -> Any:
    """The model; it takes half a second to read."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


def _evenly_spaced(values: list[T]) -> list[T]:
    return values[:: math.ceil(len(values) / _MAX_TEXTS) or 1]
