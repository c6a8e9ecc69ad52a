"""The checked-in OpenAPI description, and what it must repeat of the code.

`python -m tests.support.openapi` updates `service/http/openapi.json` after a change of the schemas or of the version.
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from service import answers, requests
from stores.sources import PATTERN

ROOT = Path(__file__).parents[2]
FILE = ROOT / "service" / "http" / "openapi.json"
REQUESTS = (requests.ClassifyRequest, requests.FeedbackRequest)
ANSWERS = (
    answers.ClassifyAnswer,
    answers.FeedbackAnswer,
    answers.ModelCard,
    answers.EraseAnswer,
    answers.ErrorAnswer,
)


def description() -> dict[str, Any]:
    """The file's content."""
    content: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return content


def updated(content: dict[str, Any]) -> dict[str, Any]:
    """The description with the version, the component schemas and the source pattern of the code."""
    _, generated = models_json_schema(
        [
            *((model, "validation") for model in REQUESTS),
            *((model, "serialization") for model in ANSWERS),
        ],
        ref_template="#/components/schemas/{model}",
    )
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    parameters = content["components"]["parameters"]
    source = {**parameters["Source"], "schema": {"type": "string", "pattern": f"^{PATTERN}$"}}
    return {
        **content,
        "info": {**content["info"], "version": project["version"]},
        "components": {
            **content["components"],
            "schemas": generated["$defs"],
            "parameters": {**parameters, "Source": source},
        },
    }


def resolved(content: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """`part`, or what its `$ref` names."""
    if "$ref" not in part:
        return part
    found: Any = content
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return dict(found)


if __name__ == "__main__":
    text = json.dumps(updated(description()), ensure_ascii=False, indent=2)
    FILE.write_text(f"{text}\n", encoding="utf-8")
