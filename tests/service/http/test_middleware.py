"""The HTTP face over a running engine, with the model in the test's hands: what a socket cannot time."""

from __future__ import annotations

import asyncio
import logging
import threading
import time

import pytest

from service.errors import DeadlinePassed, MalformedRequest
from service.http.hosts import HostCheck
from service.inference.encoding import encode_until
from tests.support.engines import DEADLY, POISON, asgi_client, running_engine

ERROR_FIELDS = {"code", "message", "field", "request_id"}


def error_of(response, status: int, code: str) -> dict:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert set(error) == ERROR_FIELDS
    assert error["code"] == code
    assert error["request_id"] == response.headers["x-request-id"]
    return error


async def until(condition, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def test_a_full_queue_is_429_with_retry_after(bundle, tmp_path):
    async def story() -> None:
        with running_engine(bundle, tmp_path, queue_texts=4, max_texts=4) as (engine, model):
            async with asgi_client(engine) as client:
                model.free.clear()
                first = asyncio.create_task(client.post("/classify", json={"text": "first"}))
                await until(model.entered.is_set)
                second = asyncio.create_task(client.post("/classify", json={"text": ["a", "b", "c"]}))
                await until(lambda: engine._batcher.queued == 3)
                refused = await client.post("/classify", json={"text": ["d", "e"]})
                error_of(refused, 429, "queue_full")
                assert int(refused.headers["retry-after"]) >= 1
                model.free.set()
                assert (await first).status_code == 200
                assert len((await second).json()["predictions"]) == 3

    asyncio.run(story())


def test_an_almost_full_queue_refuses_lists_before_parsing(bundle, tmp_path):
    async def story() -> None:
        with running_engine(bundle, tmp_path, queue_texts=4, max_texts=4) as (engine, model):
            async with asgi_client(engine) as client:
                invalid = b'{"text": ["' + b"a" * 20_000
                json_type = {"Content-Type": "application/json"}
                refused = await client.post("/classify", content=invalid, headers=json_type)
                error_of(refused, 400, "malformed_json")
                model.free.clear()
                first = asyncio.create_task(client.post("/classify", json={"text": "first"}))
                await until(model.entered.is_set)
                second = asyncio.create_task(client.post("/classify", json={"text": ["a", "b", "c", "d"]}))
                await until(lambda: engine._batcher.queued == 4)
                refused = await client.post("/classify", content=invalid, headers=json_type)
                error_of(refused, 429, "queue_full")
                model.free.set()
                assert (await first).status_code == (await second).status_code == 200

    asyncio.run(story())


def test_at_most_max_body_bytes_wait_to_be_parsed(bundle, tmp_path):
    async def story() -> None:
        with running_engine(bundle, tmp_path, max_body_bytes=150_000) as (engine, _model):
            async with asgi_client(engine) as client:
                body = {"text": ["word " * 19_000]}
                many = {"text": ["many, " * 100] * 200}
                assert len(str(many)) > 110_000
                found = await asyncio.gather(*(client.post("/classify", json=many) for _ in range(8)))
                refused = [answer for answer in found if answer.status_code != 200]
                assert 1 <= len(refused) < len(found)
                for answer in refused:
                    error_of(answer, 503, "too_many_bytes")
                assert (await client.post("/classify", json=body)).status_code == 200

    asyncio.run(story())


def test_a_passed_deadline_is_504_and_its_work_is_not_done(bundle, tmp_path):
    async def story() -> None:
        with running_engine(bundle, tmp_path) as (engine, model):
            async with asgi_client(engine) as client:
                model.free.clear()
                first = asyncio.create_task(client.post("/classify", json={"text": "first"}))
                await until(model.entered.is_set)
                late = await client.post("/classify", json={"text": "late"}, headers={"X-Deadline-Ms": "50"})
                error_of(late, 504, "deadline_passed")
                model.free.set()
                assert (await first).status_code == 200
                assert (await client.post("/classify", json={"text": "after"})).status_code == 200
                assert ["late"] not in model.batches
                assert all("late" not in batch for batch in model.batches)

    asyncio.run(story())


def test_request_timeout_is_the_deadline_of_everybody(bundle, tmp_path):
    async def story() -> None:
        with running_engine(bundle, tmp_path, request_timeout=0.1) as (engine, model):
            async with asgi_client(engine) as client:
                model.free.clear()
                late = await client.post("/classify", json={"text": "x"}, headers={"X-Deadline-Ms": "60000"})
                error_of(late, 504, "deadline_passed")
                model.free.set()

    asyncio.run(story())


def test_a_body_that_does_not_come_in_time_is_408(bundle, tmp_path):
    async def slowly():
        yield b'{"text": '
        await asyncio.sleep(30)
        yield b'"too late"}'

    async def story() -> None:
        with running_engine(bundle, tmp_path, request_timeout=0.1) as (engine, _):
            async with asgi_client(engine) as client:
                headers = {"Content-Type": "application/json"}
                for path in ("/classify", "/feedback"):
                    late = await client.post(path, content=slowly(), headers=headers)
                    error_of(late, 408, "request_timeout")
                headers["X-Deadline-Ms"] = "20"
                late = await client.post("/classify", content=slowly(), headers=headers)
                error_of(late, 504, "deadline_passed")

    asyncio.run(story())


def test_feedback_that_cannot_be_kept_in_time_is_504(bundle, tmp_path):
    async def story() -> None:
        with running_engine(bundle, tmp_path, request_timeout=0.2) as (engine, _):
            async with asgi_client(engine) as client:
                store = engine._store()
                writer = store.engine.connect().execution_options(write=True)
                with writer.begin():  # holds SQLite's write lock
                    items = [{"id": "a" * 32, "label": "tech"}]
                    error_of(await client.post("/feedback", json={"feedback": items}), 504, "deadline_passed")
                writer.close()

    asyncio.run(story())


@pytest.mark.parametrize("deadline", ["soon", "0", "-5", "nan", "inf", ""])
def test_a_deadline_that_is_none_is_422(bundle, tmp_path, deadline):
    async def story() -> None:
        with running_engine(bundle, tmp_path) as (engine, _):
            async with asgi_client(engine) as client:
                response = await client.post(
                    "/classify", json={"text": "x"}, headers={"X-Deadline-Ms": deadline}
                )
                assert error_of(response, 422, "invalid_deadline")["field"] == "X-Deadline-Ms"

    asyncio.run(story())


def test_a_text_that_breaks_the_model_fails_alone_with_500(bundle, tmp_path, caplog):
    async def story() -> None:
        with running_engine(bundle, tmp_path) as (engine, model):
            async with asgi_client(engine) as client:
                model.free.clear()
                calls = [client.post("/classify", json={"text": f"good {number}"}) for number in range(5)]
                tasks = [asyncio.create_task(call) for call in calls]
                await until(model.entered.is_set)
                poisoned = asyncio.create_task(client.post("/classify", json={"text": ["good", POISON]}))
                alone = asyncio.create_task(client.post("/classify", json={"text": POISON}))
                await until(lambda: engine._batcher.queued >= 3)
                model.free.set()
                assert [task.status_code for task in await asyncio.gather(*tasks)] == [200] * 5
                assert error_of(await poisoned, 500, "prediction_broken")["field"] == "text[1]"
                assert error_of(await alone, 500, "prediction_broken")["field"] == "text"
                assert (await client.get("/livez")).status_code == 200

    with caplog.at_level(logging.INFO, "service"):
        asyncio.run(story())
    assert POISON not in caplog.text


def test_a_dead_thread_fails_livez_and_requests_are_answered(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("threading.excepthook", lambda _: None)

    async def story() -> None:
        with running_engine(bundle, tmp_path) as (engine, _):
            async with asgi_client(engine) as client:
                assert (await client.get("/livez")).json() == {"alive": True}
                error_of(await client.post("/classify", json={"text": DEADLY}), 503, "worker_dead")
                await until(lambda: not engine.alive)
                livez = await client.get("/livez")
                assert (livez.status_code, livez.json()) == (503, {"alive": False})
                assert (await client.get("/readyz")).status_code == 503
                refused = await client.post("/classify", json={"text": "x"})
                error_of(refused, 503, "worker_dead")
                assert "retry-after" in refused.headers

    asyncio.run(story())


def test_draining_answers_accepted_work_and_refuses_new(bundle, tmp_path):
    async def story() -> None:
        with running_engine(bundle, tmp_path) as (engine, model):
            async with asgi_client(engine) as client:
                model.free.clear()
                accepted = asyncio.create_task(client.post("/classify", json={"text": "accepted"}))
                await until(model.entered.is_set)
                engine.draining = True
                for path, body in (
                    ("/classify", {"text": "x"}),
                    ("/feedback", {"feedback": [{"id": "a", "label": "b"}]}),
                ):
                    refused = await client.post(path, json=body)
                    error_of(refused, 503, "shutting_down")
                    assert int(refused.headers["retry-after"]) >= 1
                assert (await client.get("/readyz")).status_code == 503
                assert (await client.get("/livez")).status_code == 200
                model.free.set()
                assert (await accepted).status_code == 200

    asyncio.run(story())


def test_keys_open_the_routes_that_need_one(bundle, tmp_path):
    async def story() -> None:
        with running_engine(bundle, tmp_path, api_keys="first-key, zweiter-schlüssel") as (engine, _):
            async with asgi_client(engine) as client:
                body = {"text": "Shares fell."}
                for headers in (
                    {},
                    {"X-API-Key": "wrong"},
                    {"Authorization": "Basic Zmlyc3Qta2V5"},
                    {"X-API-Key": ""},
                ):
                    refused = await client.post("/classify", json=body, headers=headers)
                    error_of(refused, 401, "not_authorised")
                    assert refused.headers["www-authenticate"] == "Bearer"
                for headers in ({"X-API-Key": "first-key"}, {"Authorization": "bearer first-key"}):
                    assert (await client.post("/classify", json=body, headers=headers)).status_code == 200
                error_of(await client.get("/model"), 401, "not_authorised")
                error_of(await client.post("/feedback", json={}), 401, "not_authorised")
                for path in ("/livez", "/readyz", "/metrics", "/", "/ui", "/ui/app.js", "/openapi.json"):
                    assert (await client.get(path)).status_code == 200, path
                raw = "zweiter-schlüssel".encode()
                assert (await client.get("/model", headers={b"X-API-Key": raw})).status_code == 200

    asyncio.run(story())


def test_a_client_that_leaves_is_not_computed_for(bundle, tmp_path):
    async def story() -> None:
        with running_engine(bundle, tmp_path) as (engine, model):
            async with asgi_client(engine) as client:
                model.free.clear()
                first = asyncio.create_task(client.post("/classify", json={"text": "first"}))
                await until(model.entered.is_set)
                leaving = asyncio.create_task(client.post("/classify", json={"text": "leaving"}))
                await until(lambda: engine._batcher.queued == 1)
                leaving.cancel()
                await asyncio.gather(leaving, return_exceptions=True)
                model.free.set()
                assert (await first).status_code == 200
                assert (await client.post("/classify", json={"text": "next"})).status_code == 200
                assert all("leaving" not in batch for batch in model.batches)

    asyncio.run(story())


def test_unforeseen_errors_keep_the_contract_and_tell_nothing(bundle, tmp_path, monkeypatch, caplog):
    async def story() -> None:
        with running_engine(bundle, tmp_path) as (engine, _):
            monkeypatch.setattr(engine, "model", lambda: 1 / 0)
            async with asgi_client(engine) as client:
                error = error_of(await client.get("/model"), 500, "internal_error")
                assert "zero" not in error["message"]
                return error["request_id"]

    with caplog.at_level(logging.ERROR, "service"):
        request_id = asyncio.run(story())
    record = next(record for record in caplog.records if record.message == "request_failed")
    assert record.fields["request_id"] == request_id
    assert "ZeroDivisionError" in caplog.text


def test_feedback_for_an_older_models_label_is_taken(bundle, tmp_path):
    """A label that today's model does not know is right if the model that answered knew it."""

    async def story() -> None:
        with running_engine(bundle, tmp_path) as (engine, _):
            async with asgi_client(engine) as client:
                answer = (await client.post("/classify", json={"text": "The striker scored."})).json()
                id_ = answer["predictions"][0]["id"]
                store = engine._store()
                old = store.get(id_)
                assert old is not None
                with store.engine.begin() as connection:
                    connection.exec_driver_sql(
                        "UPDATE predictions SET scores = ? WHERE id = ?", ('{"weather": 1.0}', id_)
                    )
                good = await client.post("/feedback", json={"feedback": [{"id": id_, "label": "weather"}]})
                assert good.json() == {"accepted": 1, "unknown": []}
                error_of(
                    await client.post("/feedback", json={"feedback": [{"id": id_, "label": "nonsense"}]}),
                    422,
                    "unknown_label",
                )

    asyncio.run(story())


def test_without_a_log_texts_are_answered_and_feedback_is_not(bundle, tmp_path):
    async def story() -> None:
        with running_engine(bundle, tmp_path, log_predictions=False) as (engine, _):
            async with asgi_client(engine) as client:
                answer = (await client.post("/classify", json={"text": "The striker scored."})).json()
                id_ = answer["predictions"][0]["id"]
                feedback = await client.post("/feedback", json={"feedback": [{"id": id_, "label": "sports"}]})
                assert feedback.json() == {"accepted": 0, "unknown": [id_]}

    asyncio.run(story())


def test_every_answer_has_the_security_headers(bundle, tmp_path):
    async def story() -> None:
        with running_engine(bundle, tmp_path) as (engine, _):
            async with asgi_client(engine) as client:
                answers = [
                    await client.get("/livez"),
                    await client.get("/model"),
                    await client.get("/nothing"),
                    await client.post("/classify", json={"text": "x"}),
                    await client.post("/classify", json={"text": ""}),
                    await client.get("/ui"),
                    await client.request("OPTIONS", "/classify"),
                ]
                assert [answer.status_code for answer in answers] == [200, 200, 404, 200, 422, 200, 204]
                for answer in answers:
                    assert answer.headers["x-content-type-options"] == "nosniff"
                    assert answer.headers["referrer-policy"] == "no-referrer"
                    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
                    assert answer.headers["cache-control"] in ("no-store", "no-cache")
                    assert "access-control-allow-origin" not in answer.headers

    asyncio.run(story())


def test_a_prefix_that_a_proxy_leaves_or_removes(bundle, tmp_path):
    async def story() -> None:
        with running_engine(bundle, tmp_path, root_path="/ml") as (engine, _):
            async with asgi_client(engine) as client:
                for path in ("/ml/livez", "/livez", "/ml/", "/ml/ui", "/ml/ui/app.js", "/ml/openapi.json"):
                    assert (await client.get(path)).status_code == 200, path
                to_slash = await client.get("/ml")
                assert (to_slash.status_code, to_slash.headers["location"]) == (307, "/ml/")
                error_of(await client.get("/mlx/livez"), 404, "not_found")
        with running_engine(bundle, tmp_path / "second", api_keys="k") as (engine, _):
            async with asgi_client(engine) as client:
                prefixed = {"X-Forwarded-Prefix": "/ml/"}
                assert (await client.get("/ml/livez", headers=prefixed)).status_code == 200
                assert (await client.get("/livez", headers=prefixed)).status_code == 200
                # The key is asked for by the route, not by how it is written.
                error_of(await client.get("/ml/model", headers=prefixed), 401, "not_authorised")
                for wrong in ("/a//evil.example", "/%2e%2e", "ml", "/a b", "/" + "a" * 300):
                    refused = await client.get(f"{wrong}/livez", headers={"X-Forwarded-Prefix": wrong})
                    error_of(refused, 404, "not_found")

    asyncio.run(story())


def test_the_tokenizer_stops_when_the_request_is_over(classifier):
    class Counting:
        parts = 0

        def encode(self, texts):
            self.parts += 1
            over.set()
            return classifier.encode(texts)

    over, counting = threading.Event(), Counting()
    texts = ["word " * 15_000] * 10
    with pytest.raises(DeadlinePassed):
        encode_until(counting, texts, time.monotonic() + 60, over)
    assert counting.parts == 1
    assert encode_until(classifier, texts, time.monotonic() + 60, threading.Event()) == classifier.encode(
        texts
    )
    with pytest.raises(DeadlinePassed):
        encode_until(counting, texts, time.monotonic(), threading.Event())
    assert counting.parts == 1


@pytest.mark.parametrize(
    ("allowed", "needs_key", "server", "host", "answered"),
    [
        ((), False, "127.0.0.1", "localhost", True),
        ((), False, "127.0.0.1", "rebound.example", False),
        ((), True, "127.0.0.1", "rebound.example", False),
        ((), False, "::1", "[::1]:3000", True),
        ((), False, "127.0.0.1", "service", False),
        ((), False, "172.17.0.2", "service", True),
        ((), False, "172.17.0.2", "192.168.1.7:3000", True),
        ((), False, "172.17.0.2", "news.default.svc.cluster.local", True),
        ((), False, "172.17.0.2", "rebound.example", False),
        ((), True, "172.17.0.2", "news.example", True),
        (("news.example",), True, "172.17.0.2", "news.example", True),
        (("news.example",), True, "172.17.0.2", "other.example", False),
        (("news.example",), True, "172.17.0.2", "172.17.0.2:3000", True),
        (("news.example",), True, "172.17.0.2", "192.168.1.7", False),
        (("*.example",), False, "172.17.0.2", "a.b.example.", True),
        (("*.example",), False, "172.17.0.2", "example", False),
        (("*",), False, "127.0.0.1", "anything.example", True),
    ],
)
def test_which_hosts_are_answered(allowed, needs_key, server, host, answered):
    check = HostCheck(allowed, needs_key=needs_key)
    scope = {"headers": [(b"host", host.encode())], "http_version": "1.1", "server": (server, 3000)}
    if answered:
        check.check(scope)
    else:
        with pytest.raises(MalformedRequest) as refused:
            check.check(scope)
        assert refused.value.code == "invalid_host"
