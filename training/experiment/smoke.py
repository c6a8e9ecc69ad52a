"""`--smoke`: a size of any experiment that runs in a minute, on packaged data and weights, without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from training.config.data import PACKAGED

SUFFIX = "-smoke"
"""Ends the names of a smoke run's MLflow experiment, reports and registered model."""

PACKAGED_WEIGHTS = "all-minilm-l6-v2"
RANDOM_WEIGHTS = {"distilbert": "random-distilbert"}
"""Network class in a hub name → its replacement; every other name gets the packaged BERT."""

TEACHER = "smoke_teacher"
"""Name of the candidate that teaches in a smoke run."""

LAYOUT = (
    "hub_config", "hub_splits", "header", "column_names", "delimiter", "encoding", "text_column", "label_column",
    "label_names", "label_bins", "limit",
)  # fmt: skip
"""Keys of `data` that say how one source is read; they mean nothing for another."""

_TEXTS = 200
_NETWORK = {
    "layers": 2,
    "max_length": 32,
    "epochs": 2,
    "learning_rate": 5e-4,
    "batch_size": 8,
    "accumulation": 1,
}
"""What a network gets; the number of layers and the accumulation only where the file does not say it."""
_UNSAID_ONLY = ("layers", "accumulation")
_HEAD = ("layers", "max_length")
"""What of it a head on a frozen encoder has."""
_COUNTS = {"train_texts": 100, "validation_texts": 50, "test_texts": 50, "holdout_texts": 0}


def make_small(raw: dict[str, Any], is_set: Callable[[str], bool]) -> None:
    """Turn the experiment file `raw` into its smoke size, in place; its `smoke` section is left to the caller.

    Args:
        raw: the file as YAML gives it, overrides included.
        is_set: whether a dotted key was set by the user, and is not to be touched.
    """
    replaced: dict[str, str] = {}
    data = raw.setdefault("data", {})
    source = data.get("source", PACKAGED)
    if source != PACKAGED and not is_set("data.source"):
        replaced["data.source"] = f"{source} → {PACKAGED}"
        for key in LAYOUT:
            data.pop(key, None)
        data["source"] = PACKAGED
    _fewer_texts(data, is_set)
    for place, section in list(_networks(raw)):
        _small_network(section, place, is_set, replaced)
    _teacher_of_its_own(raw, is_set, replaced)
    raw["name"] = str(raw["name"]) + SUFFIX
    raw["replaced"] = replaced


def _fewer_texts(data: dict[str, Any], is_set: Callable[[str], bool]) -> None:
    split = data.get("split") or {}
    counted = [key for key in _COUNTS if split.get(key) is not None]
    for key in counted:
        if not is_set(f"data.split.{key}"):
            split[key] = min(split[key], _COUNTS[key])
    if not counted:
        data["limit"] = min(data.get("limit") or _TEXTS, _TEXTS)


def _small_network(
    section: dict[str, Any], place: str, is_set: Callable[[str], bool], replaced: dict[str, str]
) -> None:
    weights = section.get("weights", PACKAGED_WEIGHTS)
    if weights != PACKAGED_WEIGHTS and not is_set(f"{place}.weights"):
        stand_in = next(
            (name for kind, name in RANDOM_WEIGHTS.items() if kind in weights.lower()), PACKAGED_WEIGHTS
        )
        section["weights"] = stand_in
        replaced[f"{place}.weights"] = f"{weights} → {stand_in}"
        if stand_in in RANDOM_WEIGHTS.values():
            section["layers"] = _NETWORK["layers"]  # it has no more
    _packaged_teachers(section, place, is_set, replaced)
    if schedule := section.get("schedule"):
        # Once an epoch: between so few steps there is nothing to see.
        section["schedule"] = {**schedule, "evaluate_every": None, "checkpoint_every": None}
    for key, value in _NETWORK.items():
        if key == "layers" and section["kind"] == "distilled":
            continue  # its layers are its teacher's
        if section["kind"] == "head" and key not in _HEAD:
            continue
        if key not in _UNSAID_ONLY or section.get(key) is None:
            section[key] = value


def _packaged_teachers(
    section: dict[str, Any], place: str, is_set: Callable[[str], bool], replaced: dict[str, str]
) -> None:
    """Larger teachers of a self-trained network are replaced by the packaged one, whole."""
    options = section.get("self_training") or {}
    key = f"{place}.self_training.teacher_weights"
    larger = options.get("teacher_weights")
    if larger not in (None, PACKAGED_WEIGHTS) and not is_set(key):
        section["self_training"] = {**options, "teacher_weights": PACKAGED_WEIGHTS}
        replaced[key] = f"{larger} → {PACKAGED_WEIGHTS}"


def _teacher_of_its_own(raw: dict[str, Any], is_set: Callable[[str], bool], replaced: dict[str, str]) -> None:
    """Train a teacher first, where students would learn from a registered model: a smoke run has none."""
    candidates: dict[str, Any] = raw.get("candidates") or {}
    taught = [
        (f"candidates.{name}.teacher", section)
        for name, section in candidates.items()
        if isinstance(section, dict)
        and str(section.get("kind", "")).startswith("distilled")
        and section.get("teacher", "champion") not in candidates
        and not is_set(f"candidates.{name}.teacher")
    ]
    for place, section in taught:
        replaced[place] = f"{section.get('teacher', 'champion')} → {TEACHER}, a candidate of this run"
        section["teacher"] = TEACHER
    if taught:
        first = {"kind": "network", "weights": PACKAGED_WEIGHTS, "baseline": True, **_NETWORK}
        raw["candidates"] = {TEACHER: first, **candidates}


def _networks(raw: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every section that is a network's, with its dotted key; the `smoke` section is none."""
    for key, value in raw.items():
        if isinstance(value, dict) and (place or key != "smoke"):
            here = f"{place}.{key}" if place else str(key)
            if value.get("kind") in ("network", "distilled", "head"):
                yield here, value
            yield from _networks(value, here)
