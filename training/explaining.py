"""`python -m training explain KEY`: what a key of an experiment file means, read from the fields' own docstrings."""

from __future__ import annotations

import ast
import difflib
import inspect
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from training.errors import ExperimentInvalid
from training.experiment import Experiment


@dataclass(frozen=True)
class Explained:
    """One key."""

    key: str
    """Dotted, as `--set` takes it; NAME stands for a name of one's own."""
    default: str
    meaning: str
    """The field's docstring."""
    kinds: tuple[str, ...] = ()
    """Of a candidate's field: the kinds that have it."""


def explain(key: str = "") -> list[Explained]:
    """The key with what stands in it; every top key where `key` is empty.

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
            yield _explained(model, name, own, f"{place}{name}", kind)
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
            yield _explained(model, first, field, f"{place}{first}", kind)
        yield from _in_any(rest, inner, here)
        return
    if not rest or not inner:
        yield _explained(model, first, field, f"{place}{first}", kind)
    if inner:
        yield from _in_any(rest, inner, here)
    elif rest and typing.get_origin(field.annotation) is not dict:
        raise ExperimentInvalid(f"{here}{rest[0]}: unknown key; {first} holds a value, not further keys")


def _in_any(rest: list[str], models: list[type[BaseModel]], place: str) -> Iterator[Explained]:
    """What stands at `rest` in those of `models` that have it."""
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


def _explained(model: type[BaseModel], name: str, field: FieldInfo, key: str, kind: str) -> Explained:
    default = "needed" if field.is_required() else _default(field)
    meaning = " ".join(docstring(model, name).split())
    return Explained(key, default, meaning, (kind,) if kind else ())


def _default(field: FieldInfo) -> str:
    value: Any = field.default
    if value is PydanticUndefined or isinstance(value, BaseModel):
        return "a section"
    return "unset" if value is None else repr(value) if isinstance(value, str) else str(value)


def docstring(model: type[BaseModel], name: str) -> str:
    """The string under the field where a class first says it; empty where none does."""
    for owner in model.__mro__:
        if not issubclass(owner, BaseModel) or owner is BaseModel:
            continue
        (tree,) = ast.parse(inspect.getsource(owner)).body
        assert isinstance(tree, ast.ClassDef)
        for statement, after in zip(tree.body, tree.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and statement.target.id == name
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                return str(after.value.value)
    return "Which kind this is." if name == "kind" else ""


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The sections that an annotation names, through unions, dicts and `Annotated`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        return [model for part in typing.get_args(annotation) for model in _models(part)]
    return []
