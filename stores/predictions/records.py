"""The rows of the prediction store: predictions, with their labels where they are known, and counts of outcomes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import func

from stores.predictions.schema import KEY_NAME_LENGTH, REQUEST_ID_LENGTH, STAGE_LENGTH, predictions
from stores.predictions.texts import storable
from stores.random_hex import random_hex
from stores.sources import API

_RANDOM_DIGITS_FROM, RANDOM_DIGITS = 17, 8
"""Start (1-based, as in SQL) and length of the random part of an id that is used."""
random_digits = func.substr(predictions.c.id, _RANDOM_DIGITS_FROM, RANDOM_DIGITS)
"""A random number of each prediction: request patterns cannot bias a sample that is drawn by it."""


def new_prediction_id() -> str:
    """A new id of 32 hexadecimal digits; ids sort by the time they were made, which keeps the index compact."""
    return f"{time.time_ns():016x}{random_hex()}"


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answered text."""

    text: str
    label: str
    score: float
    scores: Mapping[str, float]
    """Label → probability, for all labels."""
    tokens: int
    truncated: bool
    model_name: str
    model_version: str
    model_alias: str | None = None
    request_id: str | None = None
    source: str = API
    """Where the request came from (`stores.sources`)."""
    id: str = field(default_factory=new_prediction_id)
    created_at: float = field(default_factory=time.time)
    """Seconds since the epoch, UTC."""
    seconds: float | None = None
    """From the moment the request was read until its answer was computed; None: not measured, or the answer was
    cached."""
    key_name: str | None = None
    """Name of the API key that asked; None: the request had no key."""
    redacted_at: float | None = None
    """When `text` was removed (retention policy, or never stored); None: it is stored."""
    text_form: str | None = None
    """How `text` is stored: `full`, `redacted`, `hash` or `none`; None: in full, written by an older release."""
    text_hash: str | None = None
    """Hash by which the text is found for an erasure; None: it is not kept."""
    features: Mapping[str, float] | None = None
    """What monitoring measures of a text that is not stored; None: measure the text."""
    stage: str | None = None
    """Stage of the cascade that answered; None: the model has no stages, or an older release wrote it."""


_FIELDS = tuple(column.name for column in fields(Prediction))


@dataclass(frozen=True, slots=True)
class LabelledPrediction(Prediction):
    """A prediction with its true label, where that is known."""

    true_label: str | None = None
    labelled_at: float | None = None
    audited_label: str | None = None
    """Label that all stages of the cascade give, where an early answer was audited."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Predictions of one label whose truth is known and the same: one cell of a confusion table."""

    label: str
    """What was predicted."""
    true_label: str
    count: int
    mean_lag: float
    """Seconds between prediction and label, on average."""


def columns_of(row: Prediction) -> dict[str, Any]:
    """The values of a row of the table `predictions`, as every database can keep them."""
    # Not `asdict`: it copies the scores value by value, and took half of an insert's time.
    values = {name: getattr(row, name) for name in _FIELDS} | {"scores": dict(row.scores)}
    values["features"] = None if row.features is None else dict(row.features)
    values["text"] = storable(row.text)
    if row.request_id is not None:  # a client may choose it
        values["request_id"] = storable(row.request_id)[:REQUEST_ID_LENGTH]
    if row.key_name is not None:
        values["key_name"] = storable(row.key_name)[:KEY_NAME_LENGTH]
    if row.stage is not None:
        values["stage"] = storable(row.stage)[:STAGE_LENGTH]
    return values
