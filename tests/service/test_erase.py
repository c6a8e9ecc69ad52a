"""`DELETE /predictions/{id}`, and readiness over HTTP while the store is away."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from service import key_file
from tests.support.engines import asgi_client, running_engine

UP = {"available": True}
TEXT = "Shares fell in London after the bank raised rates."


def test_a_prediction_is_erased_with_what_is_remembered_of_it(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    key = key_file.add(path, "office", ["classify", "feedback", "erase"])

    async def story() -> None:
        with running_engine(bundle, tmp_path / "var", api_keys_file=path) as (engine, _):
            async with asgi_client(engine) as client:
                client.headers["X-API-Key"] = key
                answer = (await client.post("/classify", json={"text": TEXT})).json()
                id_ = answer["predictions"][0]["id"]
                assert engine._cache.bytes > 0
                erased = await client.delete(f"/predictions/{id_}")
                assert (erased.status_code, erased.json()) == (200, {"erased": id_})
                assert engine._store().get(id_) is None
                assert engine._cache.bytes == 0
                again = await client.delete(f"/predictions/{id_}")
                assert (again.status_code, again.json()["error"]["code"]) == (404, "unknown_prediction")
                label = answer["predictions"][0]["label"]
                feedback = await client.post("/feedback", json={"feedback": [{"id": id_, "label": label}]})
                assert feedback.json() == {"accepted": 0, "unknown": [id_]}
                for other in (
                    "/predictions/x",
                    "/predictions/",
                    f"/predictions/{id_.upper()}",
                    f"/predictions/{id_}/",
                ):
                    assert (await client.delete(other)).status_code == 404
                wrong = await client.get(f"/predictions/{id_}")
                assert (wrong.status_code, wrong.headers["allow"]) == (405, "DELETE, OPTIONS")
                metrics = (await client.get("/metrics")).text
                assert 'endpoint="/predictions/{id}"' in metrics
                assert id_ not in metrics

    asyncio.run(story())


@pytest.mark.parametrize("policy", ["require", "spool"])
def test_readyz_follows_the_store(
    bundle: Path, tmp_path: Path, policy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PREDICTIONS_POLICY", policy)
    (tmp_path / "predictions.db").mkdir()

    async def until(client, status: int, available: bool) -> dict:
        deadline = time.monotonic() + 30
        while True:
            answer = await client.get("/readyz")
            found = answer.json()
            if (answer.status_code, found.get("store", UP)["available"]) == (status, available):
                return found
            assert time.monotonic() < deadline, answer.text
            await asyncio.sleep(0.05)

    async def story() -> None:
        with running_engine(bundle, tmp_path) as (engine, _):
            async with asgi_client(engine) as client:
                spools = policy == "spool"
                await until(client, 200 if spools else 503, False)
                answer = await client.post("/classify", json={"text": TEXT})
                assert answer.status_code == (200 if spools else 503)
                card = (await client.get("/model")).json()["predictions"]
                assert (card["policy"], card["store"]) == (policy, "unavailable")
                assert card["spooled_rows"] == int(spools)
                assert (card["oldest_spooled"] is None) != spools
                assert "champion_store_up 0.0" in (await client.get("/metrics")).text
                (tmp_path / "predictions.db").rmdir()
                await until(client, 200, True)
                while spools and engine.sink.spooled_rows:
                    await asyncio.sleep(0.05)
                assert engine._store().count(0, time.time() + 1) == int(spools)
                assert (await client.post("/classify", json={"text": TEXT})).status_code == 200
                metrics = (await client.get("/metrics")).text
                assert "champion_store_up 1.0" in metrics
                assert f"champion_spool_replayed_total {float(spools)}" in metrics

    asyncio.run(story())
