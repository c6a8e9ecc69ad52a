"""The HTTP contract against the running service: every status, from the application and from the server."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path

import httpx
import pytest

from service.answers import ClassifyAnswer, ErrorAnswer, FeedbackAnswer, ModelCard
from stores.predictions import PredictionStore
from tests.service.conftest import TAGS
from tests.support.servers import Server

pytestmark = pytest.mark.slow

TEXT = "Shares in London fell sharply after the bank raised rates."
SPORT = "The striker scored twice in the cup final."
LABELS = {"business", "entertainment", "politics", "sports", "tech"}


@pytest.fixture(scope="module")
def client(server: Server):
    with server.client() as client:
        yield client


def refused(response: httpx.Response, status: int, code: str, field: str | None = None) -> dict:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    error = ErrorAnswer.model_validate(response.json()).error
    assert (error.code, error.field) == (code, field)
    assert error.request_id == response.headers["x-request-id"]
    assert "Traceback" not in response.text
    return error.model_dump()


# -- answers ---------------------------------------------------------------------------------------------------------


def test_one_text_is_answered_with_every_label(client):
    response = client.post("/classify", json={"text": TEXT})
    assert response.status_code == 200
    answer = ClassifyAnswer.model_validate_json(response.content)
    assert set(response.json()) == {"model", "predictions"}
    assert answer.model.model_dump() == {"name": "news", "version": "1", "alias": "champion"}
    (prediction,) = answer.predictions
    assert set(response.json()["predictions"][0]) == {"id", "label", "score", "scores", "tokens", "truncated"}
    assert prediction.label == "business"
    assert {score.label for score in prediction.scores} == LABELS
    assert sum(score.score for score in prediction.scores) == pytest.approx(1, abs=1e-5)
    values = [score.score for score in prediction.scores]
    assert values == sorted(values, reverse=True)
    assert (prediction.scores[0].label, prediction.scores[0].score) == (prediction.label, prediction.score)
    assert prediction.tokens == 10
    assert prediction.truncated is False


def test_a_list_is_answered_in_the_order_asked(client):
    texts = [SPORT, TEXT] * 25
    answer = client.post("/classify", json={"text": texts, "top_k": 2}).json()
    assert [p["label"] for p in answer["predictions"]] == ["sports", "business"] * 25
    assert all(len(p["scores"]) == 2 for p in answer["predictions"])
    assert len({p["id"] for p in answer["predictions"]}) == 50


def test_top_k_above_the_labels_gives_them_all(client):
    answer = client.post("/classify", json={"text": TEXT, "top_k": 100}).json()
    assert len(answer["predictions"][0]["scores"]) == len(LABELS)


@pytest.mark.parametrize(
    "text", ["é", "日本語のテキスト", "👩‍👩‍👧‍👦", "a" * 20_000, "\u202e right to left", "x\r\ny\x7f"]
)
def test_unusual_texts_are_answered_and_kept_as_they_are(client, server, text):
    id_ = client.post("/classify", json={"text": text}).json()["predictions"][0]["id"]
    store = PredictionStore.open(f"sqlite:///{server.log.parent / 'predictions.db'}")
    kept = store.get(id_)
    store.close()
    assert kept is not None
    assert kept.text == text


def test_every_answer_is_committed_before_it_is_given(client, server):
    answer = client.post(
        "/classify", json={"text": [TEXT, SPORT]}, headers={"X-Request-Id": "kept-with-it"}
    ).json()
    store = PredictionStore.open(f"sqlite:///{server.log.parent / 'predictions.db'}")
    for given, text in zip(answer["predictions"], [TEXT, SPORT], strict=True):
        kept = store.get(given["id"])
        assert kept is not None
        assert (kept.text, kept.label, kept.score, kept.source) == (
            text,
            given["label"],
            given["score"],
            "api",
        )
        assert (kept.model_name, kept.model_version, kept.model_alias) == ("news", "1", "champion")
        assert kept.request_id == "kept-with-it"
        # Other tests send these texts too, and what is known takes no time.
        assert kept.seconds is None or 0 < kept.seconds < 60
    store.close()


def test_feedback_is_idempotent_and_the_later_label_wins(client, server):
    id_ = client.post("/classify", json={"text": TEXT}).json()["predictions"][0]["id"]

    def give(label: str) -> dict:
        response = client.post("/feedback", json={"feedback": [{"id": id_, "label": label}]})
        assert response.status_code == 200
        return FeedbackAnswer.model_validate_json(response.content).model_dump()

    assert [give(label) for label in ("tech", "tech", "politics")] == [{"accepted": 1, "unknown": []}] * 3
    store = PredictionStore.open(f"sqlite:///{server.log.parent / 'predictions.db'}")
    assert [label for label, _ in store.feedback_history(id_)] == ["tech", "politics"]
    kept = store.get(id_)
    store.close()
    assert kept is not None
    assert kept.true_label == "politics"


def test_feedback_names_the_ids_it_does_not_know(client):
    id_ = client.post("/classify", json={"text": TEXT}).json()["predictions"][0]["id"]
    items = [
        {"id": "f" * 32, "label": "tech"},
        {"id": id_, "label": "tech"},
        {"id": "nobody", "label": "tech"},
    ]
    response = client.post("/feedback", json={"feedback": items})
    assert response.json() == {"accepted": 1, "unknown": ["f" * 32, "nobody"]}


def test_the_model_tells_about_itself(client):
    response = client.get("/model")
    card = ModelCard.model_validate_json(response.content)
    assert (card.name, card.version, card.alias, card.candidate) == ("news", "1", "champion", "tfidf_logreg")
    assert set(card.labels) == LABELS
    assert card.max_length is None
    assert card.device == "cpu"
    assert card.metrics["test_macro_f1"] == 0.95
    assert set(card.metrics) == set(TAGS) - {"experiment"}  # the numbers
    assert card.follows == "models:/news@champion"
    assert card.problem is None
    assert card.last_poll is not None


def test_probes_answer(client):
    assert client.get("/livez").json() == {"alive": True}
    assert client.get("/healthz").json() == {"alive": True}
    assert client.get("/readyz").json() == {"ready": True}
    assert client.head("/readyz").status_code == 200
    assert client.head("/readyz").content == b""


def test_metrics_count_requests_by_known_routes_only(client):
    client.post("/classify", json={"text": TEXT})
    client.get("/invented/" + "x" * 50)
    metrics = client.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain")
    text = metrics.text
    assert re.search(
        r'bentoml_service_request_total\{endpoint="/classify",http_response_code="200",runner_name="champion",',
        text,
    )
    assert 'endpoint="other",http_response_code="404"' in text
    assert "invented" not in text
    assert 'champion_model_info{alias="champion",model="news",version="1"} 1.0' in text
    for name in (
        "bentoml_service_request_duration_seconds_bucket",
        "bentoml_service_request_in_progress",
        "champion_batch_texts_bucket",
        "champion_tokens_total",
        "champion_queue_texts",
        "champion_logged_predictions_total",
        "champion_model_swaps_total",
        "process_resident_memory_bytes",
    ):
        assert f"\n{name}" in text, name


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "headers", "code"),
    [
        (b"{", {}, "malformed_json"),
        (b"", {}, "malformed_json"),
        (b'{"text": "a", "text": "b"}', {}, "malformed_json"),
        (b'{"text": "\xff"}', {}, "invalid_encoding"),
        (b'{"text": "a"}', {"Content-Encoding": "gzip"}, "invalid_encoding"),
    ],
)
@pytest.mark.parametrize("path", ["/classify", "/feedback"])
def test_400_what_cannot_be_read(client, path, content, headers, code):
    refused(
        client.post(path, content=content, headers={"Content-Type": "application/json"} | headers), 400, code
    )


@pytest.mark.parametrize(
    "kinds",
    [
        [],
        [""],
        ["text/plain"],
        ["application/x-www-form-urlencoded"],
        ["multipart/form-data; boundary=x"],
        ["application/vnd.bentoml+pickle"],
        ["application/ld+json"],
        ["application/json; charset=latin-1"],
        ['application/json; charset="utf-16"'],
        ["application/json; charset=utf-8; charset=latin-1"],
        ["text/plain; application/json"],
        ["application/json", "text/plain"],
    ],
)
def test_415_what_is_not_said_to_be_json_in_utf_8(client, kinds):
    headers = [("Content-Type", kind) for kind in kinds]
    for path in ("/classify", "/feedback"):
        response = client.post(path, content=b'{"text": "a"}', headers=headers)
        refused(response, 415, "unsupported_content_type")


@pytest.mark.parametrize(
    "kind",
    [
        "application/json; charset=utf-8;",
        "application/json; charset=UTF-8; boundary=x",
        'application/json; charset="utf-8"',
        "application/json;charset=utf8",
        "application/json ; Charset=Utf-8",
        "Application/JSON",
        "application/json;",
        "application/json; q=1; ;",
        'application/json; profile="a;charset=latin-1"',
    ],
)
def test_json_is_taken_however_it_is_said(client, kind):
    content = b"\xef\xbb\xbf" + json.dumps({"text": TEXT}).encode()
    assert client.post("/classify", content=content, headers={"Content-Type": kind}).status_code == 200


@pytest.mark.parametrize("path", ["/nothing", "/classify/", "/static_content/index.css", "/%2e%2e/etc"])
def test_404_nothing_there_also_where_bentoml_has_something(client, path):
    refused(client.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/classify", "POST, OPTIONS"),
        ("PUT", "/feedback", "POST, OPTIONS"),
        ("POST", "/model", "GET, HEAD, OPTIONS"),
        ("DELETE", "/livez", "GET, HEAD, OPTIONS"),
        ("TRACE", "/classify", "POST, OPTIONS"),
        ("POST", "/", "GET, HEAD, OPTIONS"),
    ],
)
def test_405_says_what_is_allowed(client, method, path, allow):
    response = client.request(method, path)
    refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allow


def test_413_a_body_above_the_limit(client):
    refused(client.post("/classify", json={"text": "x" * 100_000}), 413, "body_too_large")
    assert client.post("/classify", json={"text": "x" * 99_000}).status_code == 200


def test_413_a_body_that_does_not_say_its_length(client):
    def endless():
        for _ in range(40):
            yield b"x" * 10_000

    headers = {"Content-Type": "application/json"}
    refused(client.post("/classify", content=endless(), headers=headers), 413, "body_too_large")


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ([], "wrong_type", None),
        ({"text": ["fine", " "]}, "empty_text", "text[1]"),
        ({"text": TEXT, "top_k": 0}, "invalid_top_k", "top_k"),
        ({"text": TEXT, "on_too_long": "explode"}, "unknown_option", "on_too_long"),
        ({"text": ["a"] * 51}, "too_many_texts", "text"),
        ({"text": "NUL \0"}, "invalid_character", "text"),
        ({"text": [TEXT], "texts": "x"}, "unknown_field", "key 2"),
    ],
)
def test_422_wrong_content_names_the_field(client, body, code, field):
    error = refused(client.post("/classify", json=body), 422, code, field)
    assert TEXT not in error["message"]


def test_422_half_a_surrogate_pair(client):
    response = client.post(
        "/classify", content=rb'{"text": "\ud800"}', headers={"Content-Type": "application/json"}
    )
    refused(response, 422, "invalid_character", "text")


@pytest.mark.parametrize(
    ("items", "code", "field"),
    [
        ([], "empty_feedback", "feedback"),
        ([{"id": "a" * 32, "label": "weather"}], "unknown_label", "feedback[0].label"),
        (
            [{"id": "a", "label": "tech"}, {"id": "a", "label": "sports"}],
            "conflicting_feedback",
            "feedback[1]",
        ),
        ([{"id": "a", "label": "tech"}] * 51, "too_many_items", "feedback"),
        ([{"id": "a b", "label": "tech"}], "invalid_id", "feedback[0].id"),
    ],
)
def test_422_wrong_feedback(client, items, code, field):
    refused(client.post("/feedback", json={"feedback": items}), 422, code, field)


def test_422_refused_feedback_leaves_nothing(client, server):
    id_ = client.post("/classify", json={"text": TEXT}).json()["predictions"][0]["id"]
    items = [{"id": id_, "label": "tech"}, {"id": "a" * 32, "label": "weather"}]
    refused(client.post("/feedback", json={"feedback": items}), 422, "unknown_label", "feedback[1].label")
    store = PredictionStore.open(f"sqlite:///{server.log.parent / 'predictions.db'}")
    assert store.feedback_history(id_) == []
    store.close()


# -- request ids and logs ----------------------------------------------------------------------------------------------


def test_a_sane_request_id_is_kept_and_another_replaced(client):
    kept = client.get("/livez", headers={"X-Request-Id": "trace-1.a:b"})
    assert kept.headers["x-request-id"] == "trace-1.a:b"
    for odd in ("x" * 65, "a b", "<script>", "ü"):
        replaced = client.get("/livez", headers={"X-Request-Id": odd.encode()})
        assert re.fullmatch("[0-9a-f]{16}", replaced.headers["x-request-id"])


def test_the_log_has_a_line_a_request_and_never_the_text(client, server: Server):
    secret = "a sentence that must stay between us"
    client.post("/classify", json={"text": secret}, headers={"X-Request-Id": "logged-once"})
    client.post("/classify", json={"text": [secret, ""]})
    client.post("/classify", content=b'{"text": "' + secret.encode())
    lines = server.lines()
    events = [json.loads(line) for line in lines if line.startswith("{")]
    (event,) = [event for event in events if event.get("request_id") == "logged-once"]
    assert event["event"] == "request"
    assert (event["route"], event["status"], event["texts"], event["version"]) == ("/classify", 200, 1, "1")
    assert event["ms"] > 0
    assert not any(secret in line for line in lines)
    assert not any(event.get("route") == "/livez" for event in events), (
        "probes are asked too often to be logged"
    )


def test_a_client_that_leaves_is_logged_and_harms_nobody(client, server: Server):
    port = int(server.address.rpartition(":")[2])
    body = json.dumps({"text": [TEXT] * 50}).encode()
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            head = f"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
            connection.sendall(head.encode() + b"\r\n" + body)
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly a part")
    assert client.post("/classify", json={"text": TEXT}).status_code == 200
    assert client.get("/livez").status_code == 200
    assert "Traceback" not in Path(server.log).read_text(encoding="utf-8")
