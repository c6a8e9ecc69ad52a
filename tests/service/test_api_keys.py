"""Keys over a running engine: scopes, limits, and what answers, rows and logs say."""

from __future__ import annotations

import asyncio
import logging
import os

import httpx
import pytest
from starlette.requests import Request

from service import key_file
from service.api_keys import ANONYMOUS, KeyRing, scope_of
from service.errors import NotAuthorised, RateLimited, ScopeMissing
from service.http.middleware import HttpMiddleware
from tests.support.engines import asgi_client, running_engine

TEXT = "The striker scored twice in the cup final."
STRONG = "a-key-of-the-environment-that-is-32-bytes-or-longer"


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def error_of(response: httpx.Response, status: int, code: str) -> dict:
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error["code"] == code
    return error


async def classified(client: httpx.AsyncClient, key: str, text: str = TEXT) -> str:
    response = await client.post("/classify", json={"text": text}, headers=bearer(key))
    assert response.status_code == 200, response.text
    id_: str = response.json()["predictions"][0]["id"]
    return id_


async def labelled(client: httpx.AsyncClient, key: str, *ids: str, label: str = "sports") -> httpx.Response:
    items = [{"id": id_, "label": label} for id_ in ids]
    return await client.post("/feedback", json={"feedback": items}, headers=bearer(key))


def test_each_scope_opens_its_route_and_no_other(bundle, tmp_path):
    path = tmp_path / "keys.json"
    keys = {scope: key_file.add(path, scope, [scope]) for scope in key_file.SCOPES}
    calls = {
        "classify": ("POST", "/classify", {"text": TEXT}),
        "feedback": ("POST", "/feedback", {"feedback": [{"id": "a" * 32, "label": "sports"}]}),
        "read": ("GET", "/model", None),
    }

    async def story() -> None:
        with running_engine(bundle, tmp_path / "var", api_keys_file=path) as (engine, _):
            async with asgi_client(engine) as client:
                for scope, key in keys.items():
                    for needed, (method, route, body) in calls.items():
                        answer = await client.request(method, route, json=body, headers=bearer(key))
                        if needed == scope:
                            assert answer.status_code == 200, answer.text
                        else:
                            error_of(answer, 403, "scope_missing")
                for _, (method, route, body) in calls.items():
                    error_of(await client.request(method, route, json=body), 401, "not_authorised")
                    headers = bearer("champion_" + "x" * 43)
                    refused = await client.request(method, route, json=body, headers=headers)
                    error_of(refused, 401, "not_authorised")
                    assert refused.headers["www-authenticate"] == "Bearer"

    asyncio.run(story())


def test_prediction_log_line_and_label_name_the_key(bundle, tmp_path, caplog):
    path = tmp_path / "keys.json"
    key = key_file.add(path, "shop", ["classify", "feedback"])

    async def story() -> None:
        with running_engine(bundle, tmp_path / "var", api_keys_file=path, api_keys=STRONG) as (engine, _):
            async with asgi_client(engine) as client:
                for given, name in ((key, "shop"), (key, "shop"), (STRONG, "env-1")):  # the second is known
                    id_ = await classified(client, given)
                    row = engine._store().get(id_)
                    assert row is not None
                    assert row.key_name == name
                    assert (await labelled(client, given, id_)).json() == {"accepted": 1, "unknown": []}
                with engine._store().engine.connect() as connection:
                    given_by = connection.exec_driver_sql("SELECT key_name FROM feedback ORDER BY id")
                    assert [row.key_name for row in given_by] == ["shop", "shop", "env-1"]
                error_of(await client.get("/model", headers=bearer(key)), 403, "scope_missing")

    with caplog.at_level(logging.INFO, "service.http.middleware"):
        asyncio.run(story())
    lines = [record.fields for record in caplog.records if record.message == "request"]
    names = [line.get("key_name") for line in lines]
    assert names == ["shop", "shop", "shop", "shop", "env-1", "env-1", "shop"]
    assert key not in caplog.text
    assert STRONG not in caplog.text


def test_feedback_reaches_only_the_keys_own_predictions(bundle, tmp_path):
    path = tmp_path / "keys.json"
    shop = key_file.add(path, "shop", ["classify", "feedback"])
    other = key_file.add(path, "other", ["classify", "feedback"])
    desk = key_file.add(path, "desk", ["feedback", "others"])

    async def story() -> None:
        with running_engine(bundle, tmp_path / "var") as (engine, _):
            async with asgi_client(engine) as client:
                nobodys = await classified(client, "")
        with running_engine(bundle, tmp_path / "var", api_keys_file=path) as (engine, _):
            async with asgi_client(engine) as client:
                mine, theirs = await classified(client, shop), await classified(client, other)
                missing = "f" * 32
                with engine._store().engine.begin() as connection:
                    # As if an older model had answered, which knew another label.
                    connection.exec_driver_sql("UPDATE predictions SET scores = '{\"weather\": 1.0}'")
                answer = await labelled(client, shop, mine, theirs, nobodys, missing)
                # `sports` is a label of today's model, so it is not compared with each row's.
                assert answer.json() == {"accepted": 1, "unknown": [theirs, nobodys, missing]}
                assert (await labelled(client, shop, mine, label="weather")).json()["accepted"] == 1
                refusals = [
                    error_of(await labelled(client, shop, id_, label="weather"), 422, "unknown_label")
                    for id_ in (theirs, nobodys, missing)
                ]
                assert len({refusal["message"] for refusal in refusals}) == 1, "existence would show"
                store = engine._store()
                assert store.feedback_history(theirs) == store.feedback_history(nobodys) == []
                everything = await labelled(client, desk, mine, theirs, nobodys, missing)
                assert everything.json() == {"accepted": 3, "unknown": [missing]}

    asyncio.run(story())


def test_keys_of_the_environment_have_every_scope_but_erase():
    keys = KeyRing([b"one-key", b"another-key"])
    key = keys.admit(request(b"another-key"), "classify")
    assert key.name == "env-2"
    assert key.scopes == {"classify", "feedback", "read", "others"}
    assert key.owner_filter is None
    with pytest.raises(ScopeMissing):
        keys.admit(request(b"another-key"), "erase")


def test_erasing_takes_a_key_that_says_so():
    assert scope_of("/predictions/" + "a" * 32) == "erase"
    assert [scope_of(path) for path in ("/classify", "/feedback", "/model")] == [
        "classify",
        "feedback",
        "read",
    ]
    for path in ("/livez", "/metrics", "/", "/ui", "/openapi.json", "/schema.json"):
        assert scope_of(path) is None
    anonymous = KeyRing()
    assert anonymous.admit(request(b""), "classify") is ANONYMOUS
    with pytest.raises(NotAuthorised):
        anonymous.admit(request(b""), "erase")


def test_a_key_is_added_and_revoked_without_a_restart(bundle, tmp_path):
    path = tmp_path / "keys.json"
    first = key_file.add(path, "first", ["read"])

    async def story() -> None:
        with running_engine(bundle, tmp_path / "var", api_keys_file=path) as (engine, _):
            async with asgi_client(engine) as client:

                async def until(key: str, status: int) -> None:
                    for _ in range(200):
                        if (await client.get("/model", headers=bearer(key))).status_code == status:
                            return
                        await asyncio.sleep(0.05)
                    raise AssertionError(f"the key did not get {status} in time")

                second = key_file.add(path, "second", ["read"])
                await until(second, 200)
                key_file.revoke(path, "first")
                await until(first, 401)
                key_file.revoke(path, "second")
                await until(second, 401)
                error_of(await client.get("/model"), 401, "not_authorised")  # without keys nobody is let in

    asyncio.run(story())


@pytest.mark.parametrize("how", ["cut", "wrong", "deleted", "unreadable"])
def test_a_broken_file_keeps_the_old_keys_and_says_so(bundle, tmp_path, caplog, how):
    path = tmp_path / "keys.json"
    key = key_file.add(path, "shop", ["read"])
    good = path.read_bytes()

    def spoil() -> None:
        if how == "cut":
            path.write_bytes(good[:-20])
        elif how == "wrong":
            path.write_bytes(good.replace(b'"read"', b'"all"'))
        elif how == "deleted":
            path.unlink()
        else:
            path.unlink()
            path.mkdir()

    async def story() -> None:
        with running_engine(bundle, tmp_path / "var", api_keys_file=path) as (engine, _):
            async with asgi_client(engine) as client:
                card = (await client.get("/model", headers=bearer(key))).json()["keys"]
                assert (card["keys"], card["problem"]) == (1, None)
                spoil()
                engine.keys.reload()
                engine.keys.reload()
                card = (await client.get("/model", headers=bearer(key))).json()["keys"]
                assert card["keys"] == 1
                assert "key file" in card["problem"]
                assert str(tmp_path) not in card["problem"]
                assert "champion_keys_problem 1.0" in (await client.get("/metrics")).text
                if path.is_dir():
                    path.rmdir()
                path.write_bytes(good)
                engine.keys.reload()
                assert (await client.get("/model", headers=bearer(key))).json()["keys"]["problem"] is None
                assert "champion_keys_problem 0.0" in (await client.get("/metrics")).text

    with caplog.at_level(logging.INFO, "service.api_keys"):
        asyncio.run(story())
    events = [record.message for record in caplog.records if record.name == "service.api_keys"]
    assert events == ["keys_not_reloaded", "keys_reloaded"], "once each"


def test_a_rate_limit_answers_429_and_when_to_come_back(bundle, tmp_path):
    path = tmp_path / "keys.json"
    slow = key_file.add(path, "slow", ["read"], requests_per_minute=3)
    small = key_file.add(path, "small", ["classify"], texts_per_minute=5)
    plain = key_file.add(path, "plain", ["read", "classify"])

    async def story() -> None:
        with running_engine(bundle, tmp_path / "var", api_keys_file=path, key_texts_per_minute=7) as (
            engine,
            _,
        ):
            async with asgi_client(engine) as client:
                statuses = [(await client.get("/model", headers=bearer(slow))).status_code for _ in range(5)]
                assert statuses == [200] * 3 + [429] * 2
                refused = await client.get("/model", headers=bearer(slow))
                error_of(refused, 429, "rate_limited")
                assert 1 <= int(refused.headers["retry-after"]) <= 20
                assert (await client.get("/model", headers=bearer(plain))).status_code == 200

                async def texts(key: str, count: int) -> httpx.Response:
                    return await client.post("/classify", json={"text": ["a"] * count}, headers=bearer(key))

                error_of(await texts(small, 6), 422, "too_many_texts")
                assert (await texts(small, 3)).status_code == 200
                late = await texts(small, 3)
                error_of(late, 429, "rate_limited")
                assert 1 <= int(late.headers["retry-after"]) <= 12
                assert (await texts(small, 2)).status_code == 200, "what was refused took nothing"
                assert (await texts(plain, 7)).status_code == 200
                error_of(await texts(plain, 1), 429, "rate_limited")

                # A reload for another reason gives no new allowance.
                key_file.add(path, "further", ["read"])
                engine.keys.reload()
                error_of(await client.get("/model", headers=bearer(slow)), 429, "rate_limited")

    asyncio.run(story())


def test_guesses_are_slowed_by_address_and_lock_out_no_key(bundle, tmp_path):
    path = tmp_path / "keys.json"
    strong = key_file.add(path, "shop", ["read"])

    async def story() -> None:
        settings = {"api_keys_file": path, "api_keys": f"short-key,{STRONG}"}
        with running_engine(bundle, tmp_path / "var", **settings) as (engine, _):
            statuses = []
            async with client_from(engine, "203.0.113.7") as client:
                for number in range(40):
                    answer = await client.get("/model", headers=bearer(f"guess-{number}"))
                    statuses.append(answer.status_code)
                assert statuses == [401] * 20 + [429] * 20
                error_of(answer, 429, "too_many_failed_keys")
                assert int(answer.headers["retry-after"]) >= 1
                assert (await client.get("/model", headers=bearer(strong))).status_code == 200
                assert (await client.get("/model", headers=bearer(STRONG))).status_code == 200
                # Whether a guess at a short key was right is not told either.
                right = await client.get("/model", headers=bearer("short-key"))
                error_of(right, 429, "too_many_failed_keys")
                assert (await client.get("/model")).status_code == 401, "no key is no guess"
                assert "champion_failed_keys_total 41.0" in (await client.get("/metrics")).text
            async with client_from(engine, "203.0.113.8") as client:
                assert (await client.get("/model", headers=bearer("short-key"))).status_code == 200

    asyncio.run(story())


def test_a_long_header_is_no_key_and_is_not_hashed():
    keys = KeyRing([b"x" * 513])
    with pytest.raises(NotAuthorised):
        keys.admit(request(b"x" * 513), "read")


def test_a_limit_counts_for_keys_of_the_environment_too():
    keys = KeyRing([STRONG.encode()], requests_per_minute=1)
    keys.admit(request(STRONG.encode()), "read")
    with pytest.raises(RateLimited) as refused:
        keys.admit(request(STRONG.encode()), "read")
    assert 0 < (refused.value.retry_after or 0) <= 60


def test_a_start_with_a_broken_file_fails(tmp_path):
    (tmp_path / "keys.json").write_bytes(b"{}")
    with pytest.raises(key_file.KeyFileError):
        KeyRing([], tmp_path / "keys.json")


def request(key: bytes, address: str = "127.0.0.1") -> Request:
    headers = [(b"x-api-key", key)] if key else []
    return Request({"type": "http", "headers": headers, "client": (address, 1), "state": {}})


def client_from(engine, address: str) -> httpx.AsyncClient:
    async def no_life_cycle(scope, receive, send) -> None:
        raise AssertionError

    transport = httpx.ASGITransport(
        app=HttpMiddleware(no_life_cycle, lambda: engine), client=(address, os.getpid())
    )
    return httpx.AsyncClient(transport=transport, base_url="http://service")
