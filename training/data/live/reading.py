"""Live texts as they are read: each once, none that contradicts another or stands in the source already."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from stores.predictions import PredictionStore
from stores.predictions.labelled import LabelledText, labelled_texts
from stores.settings import PredictionSettings, TrackingSettings
from training.data.duplicates import drop_exact, same_text
from training.data.live.config import STORE, LiveConfig
from training.data.parts import EARLIER, LIVE, Part
from training.data.rows import Row

_READ_FOR_EACH_KEPT = 4
"""Copies are dropped after reading, so more are read than `per_class`."""


@dataclass
class LiveCounts:
    """What became of the live texts."""

    read: int = 0
    unusable: int = 0
    """No text, no label, or not readable."""
    unknown_label: int = 0
    """Labelled with what is no class of the source. A new class is for a person to add: to the source."""
    exact_duplicates: int = 0
    """Copies of another live text, or of a text of the source, with the same label."""
    conflicting_labels: int = 0
    """Copies with different labels; none is kept."""
    contradicted: int = 0
    """Texts of the source that stand with another label among the live texts; they are not used either."""
    over_the_cap: int = 0
    """Usable, but older than the `per_class` that are kept of their class."""
    near_held_out: int = 0
    """Near copies of a held-out text of the source: learning from them would give it away."""


@dataclass(frozen=True)
class LiveTexts:
    """Usable live texts, newest first."""

    part: Part
    counts: LiveCounts = field(default_factory=LiveCounts)
    contradicted: frozenset[str] = frozenset()
    """Texts of the source that must not be used, white space made single."""


def choose_live(rows: Sequence[tuple[str, str, str]], source: Part, per_class: int, read: int) -> LiveTexts:
    """The live texts to use.

    Args:
        rows: (text, label, origin), newest first, none of them blank.
        source: the texts of the source.
        per_class: at most so many of a class.
        read: how many were read, blank ones included.
    """
    counts = LiveCounts(read=read, unusable=read - len(rows))
    classes = set(source.labels)
    known = [row for row in rows if row[1] in classes]
    counts.unknown_label = len(rows) - len(known)
    origin_of: dict[str, str] = {}
    for text, _, origin in known:
        origin_of.setdefault(same_text(text), origin)
    part, counts.exact_duplicates, counts.conflicting_labels = drop_exact(
        [(text, label) for text, label, _ in known]
    )
    label_in_source = {same_text(text): label for text, label in source}
    # Copies that contradict one another among themselves contradict the source, too, whichever of them is right.
    said: dict[str, set[str]] = {}
    for text, label, _ in known:
        said.setdefault(same_text(text), set()).add(label)
    contradicted = frozenset(
        key for key, label in label_in_source.items() if key in said and said[key] != {label}
    )
    taken: Counter[str] = Counter()
    texts, labels, origins = [], [], []
    for text, label in part:
        key = same_text(text)
        if key in contradicted:
            counts.conflicting_labels += 1
        elif key in label_in_source:
            counts.exact_duplicates += 1
        elif taken[label] == per_class:
            counts.over_the_cap += 1
        else:
            taken[label] += 1
            texts.append(text)
            labels.append(label)
            origins.append(origin_of[key])
    return LiveTexts(Part(texts, labels, origins), counts, contradicted)


def stored_rows(config: LiveConfig) -> list[tuple[str, str, str]]:
    """(text, label, origin) of the labelled predictions in the prediction store, newest first.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    name = config.model_name or TrackingSettings().model_name
    store = PredictionStore.open(PredictionSettings().url)
    try:
        found = labelled_texts(
            store,
            config.since.timestamp() if config.since else 0.0,
            config.until.timestamp() if config.until else time.time(),
            model_name=name,
            per_label=_READ_FOR_EACH_KEPT * config.per_class,
        )
    finally:
        store.close()
    return [(row.text.strip(), row.label, _origin(row, config)) for row in found if row.text.strip()]


def file_live_rows(rows: Iterable[Row]) -> tuple[list[tuple[str, str, str]], int]:
    """(text, label, origin) of a file's rows, the last of them first, and how many rows were read."""
    usable, read = [], 0
    for row in rows:
        read += 1
        text, label = row.text.strip(), row.label.strip()
        if text and label and not row.unreadable:
            usable.append((text, label, LIVE))
    return usable[::-1], read


def from_store(config: LiveConfig) -> bool:
    """Whether the texts come from the prediction store."""
    return config.source == STORE


def _origin(row: LabelledText, config: LiveConfig) -> str:
    today = config.traffic_since is None or row.created_at >= config.traffic_since.timestamp()
    return LIVE if today else EARLIER
