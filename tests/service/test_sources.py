"""`X-Source`: kept with predictions and labels, refused where it is no name, and counted without inventing series."""

from __future__ import annotations

import json

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.client import Client
from stores.predictions import LabelledPrediction, PredictionStore
from stores.predictions.schema import feedback
from tests.support.servers import Server

TEXT = "Shares in London fell sharply after the bank raised rates."

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client(server: Server):
    with server.client() as client:
        yield client


def kept(server: Server, id_: str) -> tuple[LabelledPrediction, list[tuple[str, str]]]:
    """A prediction, and its labels with their sources, oldest first."""
    store = PredictionStore.open(f"sqlite:///{server.log.parent / 'predictions.db'}")
    row = store.get(id_)
    with store.reading() as connection:
        labels = connection.execute(
            feedback.select().where(feedback.c.prediction_id == id_).order_by(feedback.c.id)
        )
        given = [(label.label, label.source) for label in labels]
    store.close()
    assert row is not None
    return row, given


def classified(client: httpx.Client, text: str = TEXT, **headers: str) -> str:
    response = client.post("/classify", json={"text": text}, headers=headers)
    assert response.status_code == 200, response.text
    return response.json()["predictions"][0]["id"]


@pytest.mark.parametrize("text", ["Asked twice, known the second time.", "x" * 5000], ids=["short", "long"])
def test_the_source_is_kept_also_of_answers_that_were_known(client, server, text):
    for source in ("load", "team-7.b_c", "ui"):
        assert kept(server, classified(client, text, **{"X-Source": source}))[0].source == source
    assert kept(server, classified(client, text))[0].source == "api"


def test_a_label_keeps_the_source_of_the_request_that_gave_it(client, server):
    id_ = classified(client)
    for label, headers in (("tech", {"X-Source": "load"}), ("tech", {}), ("politics", {"X-Source": "ui"})):
        body = {"feedback": [{"id": id_, "label": label}]}
        assert client.post("/feedback", json=body, headers=headers).json()["accepted"] == 1
    row, labels = kept(server, id_)
    assert row.source == "api"
    assert labels == [("tech", "load"), ("tech", "api"), ("politics", "ui")]


@pytest.mark.parametrize("source", ["", "API", "a b", "-a", "a" * 33, "caf\xe9", "a/b"])
@pytest.mark.parametrize(
    ("path", "body"),
    [("/classify", {"text": TEXT}), ("/feedback", {"feedback": [{"id": "f" * 32, "label": "tech"}]})],
)
def test_what_is_no_source_is_refused(client, path, body, source):
    response = client.post(path, json=body, headers=[(b"x-source", source.encode("latin-1"))])
    assert response.status_code == 422
    error = response.json()["error"]
    assert (error["code"], error["field"]) == ("invalid_source", "X-Source")


def test_clients_cannot_invent_series(client):
    def texts() -> dict[str, float]:
        families = text_string_to_metric_families(client.get("/metrics").text)
        (family,) = [family for family in families if family.name == "champion_source_texts"]
        return {s.labels["source"]: s.value for s in family.samples if s.name.endswith("_total")}

    for source in ("api", "ui", "load", "other"):
        classified(client, **{"X-Source": source})
    before = texts()
    for number in range(20):
        classified(client, **{"X-Source": f"made-up-{number}"})
    classified(client, **{"X-Source": "load"})
    after = texts()
    assert set(after) == {"api", "ui", "load", "other"}
    assert after["other"] - before["other"] == 20
    assert after["load"] - before["load"] == 1


def test_the_request_log_names_the_source(client, server):
    classified(client, **{"X-Source": "nightly", "X-Request-Id": "of-the-night"})
    lines = [json.loads(line) for line in server.lines() if "of-the-night" in line]
    assert [line["source"] for line in lines if line.get("route") == "/classify"] == ["nightly"]


def test_the_client_names_its_source(server):
    with Client(server.address, source="nightly") as client:
        id_ = client.classify(TEXT).predictions[0].id
        client.feedback({id_: "tech"})
    row, labels = kept(server, id_)
    assert row.source == "nightly"
    assert labels == [("tech", "nightly")]
