"""The OpenAPI description: complete, equal to the code, and its examples work when pasted."""

from __future__ import annotations

import pytest

from service.http.routes import Routes
from service.http.statuses import STATUSES
from tests.support.engines import running_engine
from tests.support.openapi import ANSWERS, FILE, description, resolved, updated
from tests.support.servers import Server

UNDESCRIBED = {"/", "/ui", "/openapi.json", "/docs.json", "/schema.json"}
"""Pages, and the description itself."""


def references(part: object):
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def responses():
    content = description()
    for path in content["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                yield int(status), resolved(content, response)


def test_the_file_has_the_schemas_of_the_code():
    assert description() == updated(description()), "run `python -m tests.support.openapi`"


def test_every_reference_leads_somewhere():
    content = description()
    found = set(references(content))
    assert found
    for reference in found:
        assert resolved(content, {"$ref": reference})


def test_every_component_is_used():
    content = description()
    used = set(references(content))
    for kind in ("schemas", "parameters", "responses"):
        assert {f"#/components/{kind}/{name}" for name in content["components"][kind]} <= used


def test_every_status_of_the_contract_is_described():
    hidden = {499}  # the client has disconnected
    assert {status for status, _ in responses()} == {200, 500, *STATUSES.values()} - hidden


def test_every_route_and_method_is_described(bundle, tmp_path):
    with running_engine(bundle, tmp_path) as (engine, _):
        table = Routes(engine).table()
    served = {
        (path, method.lower())
        for path, methods in table.items()
        for method in methods
        if path not in UNDESCRIBED and not path.startswith("/ui/")
    }
    assert served == {
        (path, method) for path, methods in description()["paths"].items() for method in methods
    }


def test_every_answers_example_fits_its_schema():
    models = {model.__name__: model for model in ANSWERS}
    checked = 0
    for _, response in responses():
        for content in response.get("content", {}).values():
            if "example" in content:
                name = content["schema"]["$ref"].rpartition("/")[2]
                assert models[name].model_validate(content["example"])
                checked += 1
    assert checked > 50


@pytest.mark.slow
def test_every_example_works_when_pasted(server: Server):
    with server.client() as client:
        description = client.get("/openapi.json").json()
        assert client.get("/openapi.json").content == FILE.read_bytes()
        assert client.get("/docs.json").json() == description
        tried = 0
        for path, operations in description["paths"].items():
            for method, operation in operations.items():
                bodies = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
                if "{id}" in path:
                    continue  # erasing takes a key with its scope: tests/service/test_erase.py
                for example in bodies.get("examples", {"none": {"value": None}}).values():
                    response = client.request(method, path, json=example["value"])
                    assert response.status_code == 200, (path, example, response.text)
                    tried += 1
        assert tried == 9
