"""OpenTelemetry spans of requests, where the settings name a collector.

A request's span continues the trace of its caller (W3C `traceparent`), and has one child for each stage. Neither holds
a text.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.inference.jobs import Stages

_NANO = 1_000_000_000
_PROPAGATOR = TraceContextTextMapPropagator()


class Tracing:
    """Sends spans to a collector.

    Args:
        endpoint: of OTLP over HTTP: `http://collector:4318`.
        service_name: resource attribute of the spans.
    """

    def __init__(self, endpoint: str, service_name: str = "champion") -> None:
        # Imported here: most services have no collector.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        # A provider of our own: BentoML has set a global one, which records nothing.
        self._provider = TracerProvider(resource=Resource.create({"service.name": service_name}))
        exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer: Tracer = self._provider.get_tracer("champion")

    def request(
        self,
        method: str,
        route: str,
        status: int,
        seconds: float,
        *,
        headers: Mapping[str, str],
        request_id: str,
        stages: Stages | None,
        facts: Mapping[str, str | int],
    ) -> None:
        """Send the spans of an answered request.

        Args:
            method: HTTP method.
            route: one of the known routes.
            status: HTTP status.
            seconds: how long it took.
            headers: the request's; `traceparent` is looked at.
            request_id: as the log and the answer have it.
            stages: where its time went, if texts were computed.
            facts: further attributes: version, number of texts.
        """
        ended = time.time_ns()
        started = ended - int(seconds * _NANO)
        span = self._tracer.start_span(
            f"{method} {route}",
            context=_PROPAGATOR.extract(dict(headers)),
            kind=SpanKind.SERVER,
            start_time=started,
            attributes={
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "champion.request_id": request_id,
                **{f"champion.{name}": value for name, value in facts.items()},
            },
        )
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        if stages is not None:
            self._stages(set_span_in_context(span), stages, ended)
        span.end(ended)

    def stop(self) -> None:
        """Send what is left."""
        self._provider.shutdown()

    def _stages(self, within: Context, stages: Stages, ended: int) -> None:
        """One span a stage; they follow one another, and the last one ends with the request."""
        lengths = {stage: int(seconds * _NANO) for stage, seconds in stages.as_dict().items()}
        moment = ended - sum(lengths.values())
        for stage, length in lengths.items():
            span = self._tracer.start_span(stage, context=within, start_time=moment)
            moment += length
            span.end(moment)
