"""Descriptions of the keys of experiment files, for `python -m training explain` and the JSON schema."""

from __future__ import annotations

import difflib
import json
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from training.errors import ExperimentInvalid
from training.experiment.schema import Experiment


@dataclass(frozen=True)
class Explained:
    """One key."""

    key: str
    """Dotted, as `--set` takes it; NAME is a placeholder for a name."""
    default: str
    meaning: str
    """The field's docstring."""
    kinds: tuple[str, ...] = ()
    """Of a candidate's field: the kinds that have it."""


def explain(key: str = "") -> list[Explained]:
    """The key and its subkeys; every top-level key where `key` is empty.

    Names under `candidates` are the user's: any will do, and a key that several kinds have is explained for each.

    Raises:
        ExperimentInvalid: there is no such key; names the nearest.
    """
    found: dict[tuple[str, str, str], Explained] = {}
    for item in _walk(key.split(".") if key else [], Experiment, ""):
        same = (item.key, item.default, item.meaning)
        known = found.get(same)
        found[same] = replace(known, kinds=known.kinds + item.kinds) if known else item
    return list(found.values())


def _walk(wanted: list[str], model: type[BaseModel], place: str, kind: str = "") -> Iterator[Explained]:
    if not wanted:
        for name, own in model.model_fields.items():
            yield _explained(own, f"{place}{name}", kind)
        return
    first, *rest = wanted
    field: FieldInfo | None = model.model_fields.get(first)
    if field is None:
        near = difflib.get_close_matches(first, model.model_fields, n=1, cutoff=0.5)
        hint = (
            f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(model.model_fields))}"
        )
        raise ExperimentInvalid(f"{place}{first}: unknown key; {hint}")
    inner = _models(field.annotation)
    here = f"{place}{first}."
    if typing.get_origin(field.annotation) is dict and inner:  # names of the user's own
        rest, here = rest[1:], f"{here}NAME."
        if len(wanted) == 1:
            yield _explained(field, f"{place}{first}", kind)
        yield from _in_any(rest, inner, here)
        return
    if not rest or not inner:
        yield _explained(field, f"{place}{first}", kind)
    if inner:
        yield from _in_any(rest, inner, here)
    elif rest and typing.get_origin(field.annotation) is not dict:
        raise ExperimentInvalid(f"{here}{rest[0]}: unknown key; {first} holds a value, not further keys")


def _in_any(rest: list[str], models: list[type[BaseModel]], place: str) -> Iterator[Explained]:
    """The fields at `rest` of those `models` that have it."""
    found: list[Explained] = []
    failures = []
    for model in models:
        kind = str(model.model_fields["kind"].default) if "kind" in model.model_fields else ""
        try:
            found += _walk(rest, model, place, kind)
        except ExperimentInvalid as error:
            failures.append(error)
    if not found and failures:
        raise failures[0]
    yield from found


def _explained(field: FieldInfo, key: str, kind: str) -> Explained:
    default = "needed" if field.is_required() else _default(field)
    meaning = " ".join((field.description or "").split())
    return Explained(key, default, meaning, (kind,) if kind else ())


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if value is PydanticUndefined or isinstance(value, BaseModel):
        return "a section"
    return "unset" if value is None else repr(value) if isinstance(value, str) else str(value)


def experiment_schema() -> str:
    """The JSON schema of experiment files, as published in `training/experiment.schema.json`."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Experiment.model_json_schema()}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The sections that an annotation names, through unions, dicts and `Annotated`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        return [model for part in typing.get_args(annotation) for model in _models(part)]
    return []
