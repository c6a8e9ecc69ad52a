"""Spans reach a real collector, continue the caller's trace, and hold no text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.engines import asgi_client, running_engine
from tests.support.loopback import Quiet, loopback

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SECRET = "The minister's secret resigned on Monday."


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """An HTTP server that keeps what it is sent."""
    received: list[bytes] = []

    class Handler(Quiet):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            received.append(self.body())
            self.send_response(200)
            self.end_headers()

    with loopback(Handler) as address:
        yield address, received


def test_a_request_is_one_span_with_a_child_a_stage(bundle, tmp_path):
    with collector() as (address, received):

        async def story() -> None:
            with running_engine(bundle, tmp_path, otel_exporter_otlp_endpoint=address) as (engine, _model):
                async with asgi_client(engine) as client:
                    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "X-Request-Id": "req-7"}
                    await client.post("/classify", json={"text": [SECRET, "Shares fell."]}, headers=headers)
                    await client.post("/classify", json={"text": ""})
                    await client.get("/livez")

        asyncio.run(story())
    assert all(SECRET.encode() not in body for body in received)
    spans = [
        span
        for body in received
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]
    requests = [span for span in spans if span.name == "POST /classify"]
    assert len(requests) == 2, "probes make no spans"
    answered = next(span for span in requests if span.trace_id.hex() == TRACE)
    assert answered.parent_span_id.hex() == PARENT
    facts = {item.key: item.value.string_value or item.value.int_value for item in answered.attributes}
    assert facts["champion.request_id"] == "req-7"
    assert (facts["champion.texts"], facts["champion.version"]) == (2, "folder")
    assert facts["http.response.status_code"] == 200
    children = [span for span in spans if span.parent_span_id == answered.span_id]
    assert [span.name for span in sorted(children, key=lambda span: span.start_time_unix_nano)] == [
        "tokenise",
        "queue",
        "infer",
        "log",
    ]
    assert all(
        answered.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
        for span in children
    )
    (refused,) = [span for span in requests if span is not answered]
    assert {item.key: item.value.string_value for item in refused.attributes}[
        "champion.error"
    ] == "empty_text"


def test_without_a_collector_there_is_no_tracing(bundle, tmp_path):
    with running_engine(bundle, tmp_path) as (engine, _model):
        assert engine.tracing is None
