"""Error messages for invalid experiment files: the key, its value, and the nearest valid key."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from training.errors import ExperimentInvalid

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
