"""The client against the real service; what a socket cannot time, against responses made by hand."""

from __future__ import annotations

import asyncio
import threading
import time

import httpx
import pytest

import service.client
from service.client import AsyncClient, Client, Patience, Refused, Unreachable
from service.client.calls import pieces
from stores.registry import ModelRegistry
from tests.support.bundles import registered
from tests.support.engines import tracking_in
from tests.support.servers import Server, free_port, serving

TEXT = "The striker scored twice in the final."
IMPATIENT = Patience(seconds=0.0)


def many(count: int) -> list[str]:
    return [f"The minister answered question {number} in parliament." for number in range(count)]


# -- cutting and waiting --------------------------------------------------------------------------------------------


def test_a_long_list_is_cut_by_texts_and_bytes_without_loss():
    texts = ["short", "x" * 100, "y" * 100, "also short", "z" * 500]
    for limit, size in ((2, 10_000), (100, 150), (1, 1)):
        cut = list(pieces(texts, {"top_k": 1}, texts=limit, size=size))
        assert [text for piece in cut for text in piece.body["text"]] == texts
        assert [piece.first for piece in cut] == [texts.index(piece.body["text"][0]) for piece in cut]
        assert all(len(piece.body["text"]) <= limit for piece in cut)
        assert all(piece.body["top_k"] == 1 for piece in cut)
    assert len(list(pieces(texts, {}, texts=100, size=150))) == 3
    assert [piece.body["text"] for piece in pieces("one", {}, texts=1, size=1)] == ["one"]


@pytest.mark.parametrize(
    ("outcome", "low", "high"),
    [
        (httpx.Response(429, headers={"Retry-After": "7"}), 7, 7),
        (httpx.Response(503, headers={"Retry-After": "0.5"}), 0.5, 0.5),
        (httpx.Response(503, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}), 1, 2),
        (httpx.Response(502), 1, 2),
        (httpx.ConnectError("nobody listens"), 1, 2),
    ],
)
def test_the_pause_is_what_the_service_asks_for_or_grows(outcome, low, high):
    pause = Patience(first_pause=0.5, longest_pause=60).pause(outcome, tries=3, spent=0)
    assert pause is not None
    assert low <= pause <= high


@pytest.mark.parametrize(
    "outcome",
    [
        httpx.Response(200),
        httpx.Response(422),
        httpx.Response(500),
        httpx.Response(504),
        httpx.ReadTimeout("late"),
    ],
)
def test_unsafe_and_pointless_retries_are_not_made(outcome):
    assert Patience().pause(outcome, tries=1, spent=0) is None


def test_patience_ends():
    asked = httpx.Response(503, headers={"Retry-After": "10"})
    assert Patience(seconds=25).pause(asked, tries=2, spent=10) == 10
    assert Patience(seconds=25).pause(asked, tries=3, spent=20) is None


def test_the_client_needs_none_of_the_server():
    assert sorted(service.client.__all__) == service.client.__all__
    for name in service.client.__all__:
        assert getattr(service.client, name).__doc__


# -- the real service -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_text_many_texts_feedback_and_the_model(server: Server):
    with Client(server.address, max_texts=20) as client:
        assert client.ready()
        one = client.classify(TEXT, top_k=2)
        assert len(one.predictions) == 1
        assert len(one.predictions[0].scores) == 2
        several = client.classify(many(45))
        assert len(several.predictions) == 45
        assert [model.version for model in several.models] == [client.model().version]
        labels = {prediction.id: "politics" for prediction in several.predictions}
        noted = client.feedback({**labels, "0" * 32: "politics"})
        assert (noted.accepted, noted.unknown) == (45, ["0" * 32])


@pytest.mark.slow
def test_the_asynchronous_client_gives_the_same_answers(server: Server):
    async def story() -> None:
        async with AsyncClient(server.address, max_texts=7) as client:
            assert await client.ready()
            texts = many(40)
            found = await client.classify(texts, top_k=1)
            with Client(server.address) as other:
                expected = other.classify(texts, top_k=1)
            assert [item.label for item in found.predictions] == [item.label for item in expected.predictions]
            noted = await client.feedback({item.id: "politics" for item in found.predictions})
            assert noted.accepted == 40
            assert (await client.model()).labels
            with pytest.raises(Refused, match="empty_text") as refused:
                await client.classify([*many(30), " "])
            assert refused.value.field == "text[30]"

    asyncio.run(story())


@pytest.mark.slow
def test_an_error_names_the_text_of_the_call_not_of_the_request(server: Server):
    with Client(server.address, max_texts=10, patience=IMPATIENT) as client:
        with pytest.raises(Refused) as refused:
            client.classify([*many(23), "", *many(3)])
        error = refused.value
        assert (error.status, error.code, error.field) == (422, "empty_text", "text[23]")
        assert "text[23]" in error.message
        assert error.request_id
        with pytest.raises(Refused, match="no_texts"):
            client.classify([])
        with pytest.raises(Refused, match="unknown_label"):
            client.feedback({client.classify(TEXT).predictions[0].id: "no such label"})
        with pytest.raises(Refused, match="invalid_top_k"):
            client.classify(TEXT, top_k=0)
        with pytest.raises(Refused, match="invalid_deadline"):
            client.classify(TEXT, deadline=-1)


def test_nobody_there_is_said_with_the_address():
    address = f"http://127.0.0.1:{free_port()}"
    with Client(address, patience=IMPATIENT) as client:
        assert not client.ready()
        with pytest.raises(Unreachable, match=address):
            client.classify(TEXT)


@pytest.mark.slow
def test_it_waits_for_a_service_that_has_no_model_yet(bundle, tmp_path):
    settings = {"API_KEYS": "secret"}
    with serving(tmp_path, settings, until="/livez") as running:
        with Client(running.address, patience=IMPATIENT) as client, pytest.raises(Refused) as refused:
            client.classify(TEXT)
        assert refused.value.status == 401

        def promote() -> None:
            time.sleep(1)
            registered(ModelRegistry(tracking_in(tmp_path)), bundle)

        later = threading.Thread(target=promote)
        with Client(running.address, key="secret", patience=Patience(seconds=60)) as client:
            with Client(running.address, key="secret", patience=IMPATIENT) as hasty:
                with pytest.raises(Refused, match="no_model") as refused:
                    hasty.classify(TEXT)
                assert refused.value.status == 503
            later.start()
            assert len(client.classify(TEXT).predictions) == 1
        later.join()


def test_another_server_is_told_from_ours():
    response = httpx.Response(
        502, text="<html>bad gateway</html>", request=httpx.Request("GET", "http://x/model")
    )
    with pytest.raises(Refused, match="not_the_service"):
        service.client.calls.content(response)
