"""Labelled live texts from the prediction store or a file, without duplicates and contradictions."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from sqlalchemy.engine import make_url

from classifier.cleaning import TextCleaning
from stores.predictions import PredictionStore
from stores.predictions.labelled import LabelledText, count_labelled_without_text, labelled_texts
from stores.predictions.tombstones import erased_texts
from stores.settings import PredictionSettings, TrackingSettings, TrafficSettings
from training.config.data import STORE, LiveConfig
from training.data.dataset import EARLIER, LIVE, LiveCounts, LiveTexts, Part, SourceRow
from training.data.deduplication import drop_exact, same_text
from training.data.rows import Row

_READ_FOR_EACH_KEPT = 4
"""Copies are dropped after reading, so more are read than `per_class`."""
_MOST_HELD_OUT = 0.8
"""Maximum share of a representative batch that is held out; the others are used for training."""


class LiveRow(NamedTuple):
    """A labelled live text as it is read."""

    text: str
    label: str
    origin: str
    held_out: float = 1.0
    """Its chance of being held out, as a multiple of the shares that are configured."""
    original: str | None = None
    """The text before `data.clean` took something out of it; None where nothing was."""
    cut: bool = False
    """Whether more of the text is stored than was read."""


def select_live(rows: Sequence[LiveRow], source: Part, per_class: int, read: int) -> LiveTexts:
    """The live texts to use.

    Args:
        rows: newest first, none of them blank.
        source: the texts of the source.
        per_class: at most so many of a class.
        read: how many were read, blank ones included.
    """
    counts = LiveCounts(read=read, unusable=read - len(rows), cut=sum(row.cut for row in rows))
    classes = set(source.labels)
    known = [row for row in rows if row.label in classes]
    counts.unknown_label = len(rows) - len(known)
    origin_of: dict[str, str] = {}
    original_of: dict[str, str | None] = {}
    held_out_of: dict[str, float] = {}
    for row in known:
        key = same_text(row.text)
        origin_of.setdefault(key, row.origin)
        original_of.setdefault(key, row.original)
        # The least: a text that was learned from must not be held out because it came again.
        held_out_of[key] = min(row.held_out, held_out_of.get(key, row.held_out))
    part, counts.exact_duplicates, counts.conflicting_labels = drop_exact(
        Part([row.text for row in known], [row.label for row in known])
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
    source_rows = [SourceRow(original=original_of[same_text(text)]) for text in texts]
    return LiveTexts(Part(texts, labels, origins, source_rows), counts, contradicted, held_out)


def cleaned_rows(rows: Iterable[LiveRow], cleaning: TextCleaning) -> list[LiveRow]:
    """`rows` with their texts cleaned as those of the source are; without those of which nothing is left."""
    cleaned = []
    for row in rows:
        text = cleaning.apply(row.text).strip()
        if text:
            cleaned.append(row if text == row.text else row._replace(text=text, original=row.text))
    return cleaned


def stored_rows(config: LiveConfig) -> list[LiveRow]:
    """The labelled predictions in the prediction store, newest first.

    What the label queue asked for because it was uncertain or new is no fair sample of the traffic. Of those texts no
    more may be held out than an even sample of the traffic would have (`LabelledText.weight`); the others are learned
    from. Of those that stand for the traffic more are held out instead, so that the shares hold all the same.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    name = config.model_name or TrackingSettings().model_name
    store = PredictionStore.open(PredictionSettings())
    try:
        found = labelled_texts(
            store,
            config.since.timestamp() if config.since else 0.0,
            config.until.timestamp() if config.until else time.time(),
            model_name=name,
            per_label=_READ_FOR_EACH_KEPT * config.per_class,
            sources=config.sources or TrafficSettings().sources,
        )
    finally:
        store.close()
    return [
        LiveRow(row.text.strip(), row.label, _origin(row, config), _held_out(row, config), cut=row.cut)
        for row in found
        if row.text.strip()
    ]


def without_erased(rows: list[LiveRow]) -> list[LiveRow]:
    """The rows of a file whose texts were not erased from the prediction store; all of them where there is none yet.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    settings = PredictionSettings()
    path = make_url(settings.url)
    if path.get_backend_name() == "sqlite" and not Path(path.database or "").is_file():
        return rows
    store = PredictionStore.open(settings)
    try:
        with store.reading() as connection:
            erased = erased_texts(connection, [row.text for row in rows])
    finally:
        store.close()
    return [row for place, row in enumerate(rows) if place not in erased]


def stored_without_text(config: LiveConfig) -> int:
    """How many labelled predictions of the prediction store have no text to learn from.

    Raises:
        PredictionStoreError: the store cannot be read.
    """
    store = PredictionStore.open(PredictionSettings())
    try:
        return count_labelled_without_text(
            store,
            config.since.timestamp() if config.since else 0.0,
            config.until.timestamp() if config.until else time.time(),
            model_name=config.model_name or TrackingSettings().model_name,
            sources=config.sources or TrafficSettings().sources,
        )
    finally:
        store.close()


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
