"""The signal `language`: the mix of languages, identified by py3langid, whose model is part of the package."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from pydantic import Field

from monitoring.drift.categorical import CategoricalSignal
from monitoring.drift.signal import DriftData, Sides, SignalSettings, register_signal

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

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
        identify = LanguageIdentification(data.cache)
        return Sides(
            identify(_evenly_spaced(data.reference_texts)),
            identify(_evenly_spaced(data.window_texts)),
            times=_evenly_spaced([row.created_at for row in data.window.distinct]),
        )

    def clause(self, category: str, change: str) -> str:
        """`texts in 'de' went from 1% to 20%`."""
        return f"{'texts in no clear language' if category == UNSURE else f'texts in {category!r}'} {change}"


class LanguageIdentification:
    """py3langid with its model unpacked.

    The package holds the model compressed: to unpack it takes half a second and 100 MB, as much as all other
    measurements of a window. The unpacked arrays are kept in files, which are mapped into memory. The model is let go
    with this object; languages of texts are remembered, for the reference is the same at every check of a watch.

    Args:
        cache: folder for these files; None, or one that cannot be written: the model is unpacked each time.
    """

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._model: LanguageIdentifier | None = None

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """The language of each text as its ISO 639-1 code, or `unsure`."""
        return [self._guess(text[:_CHARACTERS]) for text in texts]

    def _guess(self, text: str) -> str:
        found = _known.get(text)
        if found is None:
            if sum(map(str.isalpha, text)) < _MIN_LETTERS:
                return UNSURE
            self._model = self._model or self._load()
            code, probability = self._model.classify(text)
            found = str(code) if probability >= _CERTAIN else UNSURE
            if len(_known) >= _MOST_KNOWN:
                _known.clear()
            _known[text] = found
        return found

    def _load(self) -> LanguageIdentifier:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier

        if self._cache is not None:
            with suppress(OSError):
                return _mapped(self._cache / f"py3langid-{version('py3langid')}")
        return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


_known: dict[str, str] = {}
_MOST_KNOWN = 8192
_ARRAYS = ("weights", "priors", "labels", "transitions", "rows", "features")
"""Files of an unpacked model, in the order in which py3langid reads them."""


def _mapped(folder: Path) -> LanguageIdentifier:
    """The model from its unpacked files, which are made if they are missing.

    Raises:
        OSError: they cannot be written or read.
    """
    from py3langid.langid import MODEL_DIR, MODEL_FILE, LanguageIdentifier
    from py3langid.modelio import load_model

    if not folder.is_dir():
        parts = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
        try:
            for name, array in zip(_ARRAYS, load_model(MODEL_DIR / MODEL_FILE), strict=True):
                np.save(parts / f"{name}.npy", np.asarray(array))
            parts.rename(folder)
        except OSError:
            shutil.rmtree(parts, ignore_errors=True)
            if not folder.is_dir():  # else another process was faster
                raise
    weights, priors, labels, transitions, rows, features = (
        np.load(folder / f"{name}.npy", mmap_mode="r") for name in _ARRAYS
    )
    # A memoryview gives Python's integers, several times as fast as an array gives NumPy's.
    return LanguageIdentifier(
        weights,
        np.array(priors),
        labels.tolist(),
        memoryview(transitions),
        features.tolist(),
        norm_probs=True,
        tk_row=rows.tolist(),
    )


def _evenly_spaced(values: list[T]) -> list[T]:
    return values[:: math.ceil(len(values) / _MAX_TEXTS) or 1]
