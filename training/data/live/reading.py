"""Live texts as they are read: each once, none that contradicts another or stands in the source already."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from stores.predictions import PredictionStore
from stores.predictions.labelled import LabelledText, labelled_texts
from stores.settings import PredictionSettings, TrackingSettings
from training.data.duplicates import drop_exact, same_text
from training.data.live.config import STORE, LiveConfig
from training.data.parts import EARLIER, LIVE, Part
from training.data.rows import Row

_READ_FOR_EACH_KEPT = 4
"""Copies are dropped after reading, so more are read than `per_class`."""
_MOST_HELD_OUT = 0.8
"""Of the texts of a batch that stand for the traffic: some of them are to be learned from, too."""


class LiveRow(NamedTuple):
    """A labelled live text as it is read."""

    text: str
    label: str
    origin: str
    held_out: float = 1.0
    """Its chance of being held out, as a multiple of the shares that are configured."""


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
    held_out: Sequence[float] = ()
    """Of each text the multiple of the shares with which it is held out; given none, all are 1."""


def choose_live(rows: Sequence[LiveRow], source: Part, per_class: int, read: int) -> LiveTexts:
    """The live texts to use.

    Args:
        rows: newest first, none of them blank.
        source: the texts of the source.
        per_class: at most so many of a class.
        read: how many were read, blank ones included.
    """
    counts = LiveCounts(read=read, unusable=read - len(rows))
    classes = set(source.labels)
    known = [row for row in rows if row.label in classes]
    counts.unknown_label = len(rows) - len(known)
    origin_of: dict[str, str] = {}
    held_out_of: dict[str, float] = {}
    for row in known:
        key = same_text(row.text)
        origin_of.setdefault(key, row.origin)
        # The least: a text that was learned from must not be held out because it came again.
        held_out_of[key] = min(row.held_out, held_out_of.get(key, row.held_out))
    part, counts.exact_duplicates, counts.conflicting_labels = drop_exact(
        [(row.text, row.label) for row in known]
    )
    label_in_source = {same_text(text): label for text, label in source}
    # Copies that contradict one another among themselves contradict the source, too, whichever of them is right.
    said: dict[str, set[str]] = {}
    for row in known:
        said.setdefault(same_text(row.text), set()).add(row.label)
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
    held_out = [held_out_of[same_text(text)] for text in texts]
    return LiveTexts(Part(texts, labels, origins), counts, contradicted, held_out)


def stored_rows(config: LiveConfig) -> list[LiveRow]:
    """The labelled predictions in the prediction store, newest first.

    What the label queue asked for because it was uncertain or new is no fair sample of the traffic. Of those texts no
    more may be held out than an even sample of the traffic would have (`LabelledText.weight`); the others are learned
    from. Of those that stand for the traffic more are held out instead, so that the shares hold all the same.

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
    return [
        LiveRow(row.text.strip(), row.label, _origin(row, config), _held_out(row, config))
        for row in found
        if row.text.strip()
    ]


def file_live_rows(rows: Iterable[Row]) -> tuple[list[LiveRow], int]:
    """The usable ones of a file's rows, the last of them first, and how many rows were read."""
    usable, read = [], 0
    for row in rows:
        read += 1
        text, label = row.text.strip(), row.label.strip()
        if text and label and not row.unreadable:
            usable.append(LiveRow(text, label, LIVE))
    return usable[::-1], read


def from_store(config: LiveConfig) -> bool:
    """Whether the texts come from the prediction store."""
    return config.source == STORE


def _origin(row: LabelledText, config: LiveConfig) -> str:
    today = config.traffic_since is None or row.created_at >= config.traffic_since.timestamp()
    return LIVE if today else EARLIER


def _held_out(row: LabelledText, config: LiveConfig) -> float:
    most = max(1.0, _MOST_HELD_OUT / (config.validation + config.test))
    return row.weight * min(1.0 / row.even_share, most)
