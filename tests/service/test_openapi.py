"""The description: complete, and its examples work when pasted."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from service import schemas
from service.openapi import openapi
from service.statuses import STATUSES
from tests.support.servers import Server

ANSWERS: dict[str, type[BaseModel]] = {
    "ClassifyAnswer": schemas.ClassifyAnswer,
    "FeedbackAnswer": schemas.FeedbackAnswer,
    "ModelCard": schemas.ModelCard,
    "ErrorAnswer": schemas.ErrorAnswer,
}


def references(part: object):
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_every_reference_leads_somewhere():
    description = openapi()
    known = {f"#/components/schemas/{name}" for name in description["components"]["schemas"]}
    found = set(references(description))
    assert found
    assert found <= known


def test_every_status_of_the_contract_is_described():
    described = {
        int(status)
        for path in openapi()["paths"].values()
        for operation in path.values()
        for status in operation["responses"]
    }
    hidden = {404, 499}  # a path that is not there has no description; nobody sees the second
    assert described == {200, 500, *STATUSES.values()} - hidden


def test_every_answers_example_fits_its_schema():
    for path in openapi()["paths"].values():
        for operation in path.values():
            for response in operation["responses"].values():
                for content in response.get("content", {}).values():
                    if "example" in content:
                        name = content["schema"]["$ref"].rpartition("/")[2]
                        assert ANSWERS[name].model_validate(content["example"])


@pytest.mark.slow
def test_every_example_works_when_pasted(server: Server):
    with server.client() as client:
        description = client.get("/openapi.json").json()
        assert client.get("/docs.json").json() == description
        tried = 0
        for path, operations in description["paths"].items():
            for method, operation in operations.items():
                bodies = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
                for example in bodies.get("examples", {"none": {"value": None}}).values():
                    response = client.request(method, path, json=example["value"])
                    assert response.status_code == 200, (path, example, response.text)
                    tried += 1
        assert tried == 9
