"""Load an experiment file: YAML, overrides, smoke sizes, and messages about what is invalid.

Usage::

    experiment = load_experiment("quickstart", overrides=["candidates.minilm.epochs=1"])
    experiment = load_experiment("models:/tickets/3")       # the experiment of a version
"""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from training.errors import ExperimentInvalid
from training.experiment.schema import Experiment
from training.experiment.smoke import make_small

Schema = dict[str, Any]
Location = Sequence[int | str]


def format_error(error: ValidationError, raw: Mapping[str, Any], schema: Schema) -> str:
    """Every fault, one after the other.

    Args:
        error: what pydantic found.
        raw: the file as YAML gives it.
        schema: JSON schema of the whole file.
    """
    return "; ".join(_fault(fault, raw, schema) for fault in error.errors(include_url=False))


def refuse_unknown_nulls(raw: Mapping[str, Any], changes: Sequence[tuple[str, Any]]) -> None:
    """Raise ExperimentInvalid where a candidate is set to null that is not there: it would be left out unnoticed.

    A candidate may be there because an earlier change brought it.
    """
    known = set(raw.get("candidates") or {})
    for key, value in changes:
        section, _, name = key.partition(".")
        if section != "candidates" or "." in name:
            continue
        if value is None and name not in known:
            raise ExperimentInvalid(
                f"{key}: there is no such candidate to leave out; {_near(name, sorted(known))}"
            )
        known.add(name)


def _fault(fault: ErrorDetails, raw: Mapping[str, Any], schema: Schema) -> str:
    location, found = fault["loc"], fault["input"]
    place = ".".join(str(part) for part in _written(location, schema))
    match fault["type"]:
        case "extra_forbidden":
            return f"{place}: unknown key; {_near(str(location[-1]), _known_keys(location[:-1], schema))}"
        case "union_tag_invalid":
            kind = found["kind"]
            return f"{place}.kind: unknown kind {kind!r}; {_near(str(kind), _kinds(location, schema))}"
        case "union_tag_not_found":
            # A mistyped name makes a new section that holds only the given keys.
            others = [name for name in _at(location[:-1], raw) if name != location[-1]]
            near = difflib.get_close_matches(str(location[-1]), others, n=1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            return (
                f"{place}: has no kind; {meant}A new one needs one of {', '.join(_kinds(location, schema))}"
            )
        case "missing":
            return f"{place}: is needed, and not there"
        case _:
            value = "" if isinstance(found, dict | list) else f" (got {found!r})"
            return f"{place}: {fault['msg'].removeprefix('Value error, ')}{value}"


def _near(wanted: str, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(wanted, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"


def _at(location: Location, raw: Any) -> Any:
    for part in location:
        raw = raw[part]
    return raw


def _known_keys(location: Location, schema: Schema) -> list[str]:
    """Keys that the schema knows at a pydantic error location."""
    return sorted(_node(location, schema).get("properties", {}))


def _kinds(location: Location, schema: Schema) -> list[str]:
    """Kinds that the schema knows at a pydantic error location."""
    return list(_node(location, schema).get("discriminator", {}).get("mapping", {}))


def _written(location: Location, schema: Schema) -> list[int | str]:
    """An error location as the file writes it: without the tags of unions that pydantic puts between."""
    return [part for depth, part in enumerate(location) if part not in _kinds(location[:depth], schema)]


def _node(location: Location, schema: Schema) -> Schema:
    node = _resolved(schema, schema)
    for part in location:
        node = _resolved(_step(node, part), schema)
    return node


def _step(node: Schema, part: int | str) -> Schema:
    tagged = node.get("discriminator", {}).get("mapping", {}).get(part)
    if tagged:
        return {"$ref": tagged}
    inner = node.get("properties", {}).get(part) or node.get("additionalProperties") or {}
    return inner if isinstance(inner, dict) else {}


def _resolved(node: Schema, schema: Schema) -> Schema:
    # A group that may be null is written as a choice of itself and null.
    kinds = [choice for choice in node.get("anyOf", ()) if choice.get("type") != "null"]
    if len(kinds) == 1:
        node = kinds[0]
    if "$ref" in node:
        found: Schema = schema["$defs"][node["$ref"].rpartition("/")[2]]
        return found
    return node


EXPERIMENTS = Path(__file__).parents[1] / "experiments"
"""Folder of the experiments that come with the project."""


def experiment_files() -> list[Path]:
    """The experiments that come with the project, by name."""
    return sorted(EXPERIMENTS.glob("*.yaml"))


def load_experiment(
    name_or_path: str, overrides: Sequence[str] = (), *, smoke: bool = False, once: Sequence[str] = ()
) -> Experiment:
    """Read an experiment.

    Args:
        name_or_path: a name in `training/experiments/`, the path of a YAML file, or `models:/NAME/VERSION`: the
            experiment that made that version.
        overrides: `key=value` each, the key dotted, the value YAML: `candidates.minilm.epochs=1`.
        smoke: its smoke size (training/experiment/smoke.py); overrides are applied on top.
        once: like `overrides`, which they follow; a version that is made with them does not carry them.

    Raises:
        ExperimentInvalid: no such file, not YAML, an unknown key, or a value that cannot be; names it.
        StoreError: the version is not there, or the registry does not answer.
    """
    experiment = _loaded(name_or_path, [*overrides, *once], smoke)
    if once:
        experiment._without_once = _loaded(name_or_path, overrides, smoke)
    return experiment


def _loaded(name_or_path: str, overrides: Sequence[str], smoke: bool) -> Experiment:
    path = _find(name_or_path)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ExperimentInvalid(f"{path} is not YAML: {error}") from None
    if not isinstance(raw, dict):
        raise ExperimentInvalid(f"{path} must hold keys and values, such as `name: quickstart`")
    raw.setdefault("name", path.stem)
    changes = [_parsed(override) for override in overrides]
    refuse_unknown_nulls(raw, changes)
    _apply(raw, changes)
    if smoke:
        keys = [key for key, _ in changes]
        make_small(raw, lambda key: any(key == known or key.startswith(f"{known}.") for known in keys))
        _apply(raw, list((raw.get("smoke") or {}).items()))
        _apply(raw, changes)
    try:
        return Experiment.model_validate(raw)
    except ValidationError as error:
        raise ExperimentInvalid(
            f"{path}: {format_error(error, raw, Experiment.model_json_schema())}"
        ) from None


def _find(name_or_path: str) -> Path:
    if name_or_path.startswith(("models:", "runs:")):
        from training.experiment.rerun import experiment_file

        return experiment_file(name_or_path)
    path = Path(name_or_path)
    if path.suffix in {".yaml", ".yml"} and path.is_file():
        return path
    names = {file.stem: file for file in experiment_files()}
    if name_or_path in names:
        return names[name_or_path]
    near = difflib.get_close_matches(name_or_path, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names)}"
    raise ExperimentInvalid(f"no experiment {name_or_path!r}: {hint} (or give the path of a YAML file)")


def _parsed(override: str) -> tuple[str, Any]:
    """`a.b=c` as the key `a.b` and the value that YAML reads in `c`."""
    key, equals, value = override.partition("=")
    if not equals or not key.strip():
        raise ExperimentInvalid(f"--set {override!r} is not key=value, such as candidates.minilm.epochs=1")
    try:
        return key.strip(), yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ExperimentInvalid(f"--set {override!r}: the value is not YAML: {error}") from None


def _apply(raw: dict[str, Any], changes: Sequence[tuple[str, Any]]) -> None:
    """Put each value at its dotted key, making sections on the way."""
    for key, value in changes:
        *parents, last = key.split(".")
        target = raw
        for parent in parents:
            if target.get(parent) is None:
                target[parent] = {}
            target = target[parent]
            if not isinstance(target, dict):
                raise ExperimentInvalid(f"{key!r} cannot be set: {parent!r} holds a value, not further keys")
        target[last] = copy.deepcopy(value)
