"""Traces of requests for OpenTelemetry, exported when the settings name a collector."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NoOpTracer, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from api_gateway import __version__
from mofsim_settings import Settings


@dataclass(frozen=True)
class Tracing:
    """Makes a span of each request; without a collector it costs next to nothing."""

    tracer: Tracer
    provider: TracerProvider | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Tracing:
        tracing = settings.tracing
        if not tracing.otlp_endpoint:
            return cls(NoOpTracer())
        resource = Resource.create({SERVICE_NAME: tracing.service_name, SERVICE_VERSION: __version__})
        provider = TracerProvider(resource=resource)
        exporter = OTLPSpanExporter(endpoint=f"{tracing.otlp_endpoint.rstrip('/')}/v1/traces")
        provider.add_span_processor(
            BatchSpanProcessor(exporter, schedule_delay_millis=tracing.export_every_seconds * 1000)
        )
        return cls(provider.get_tracer("mofsim.gateway", __version__), provider)

    @contextlib.contextmanager
    def request(self, method: str, headers: Mapping[str, str], request_id: str) -> Iterator[Span]:
        """The span of a request; it continues the client's trace (W3C `traceparent`)."""
        parent = TraceContextTextMapPropagator().extract(dict(headers))
        attributes = {"http.request.method": method, "mofsim.request_id": request_id}
        with self.tracer.start_as_current_span(
            method, context=parent, kind=SpanKind.SERVER, attributes=attributes
        ) as span:
            yield span

    @contextlib.asynccontextmanager
    async def exporting(self) -> AsyncIterator[None]:
        """Export for as long as the block runs, and the rest at its end."""
        try:
            yield
        finally:
            if self.provider is not None:
                await asyncio.to_thread(self.provider.shutdown)


def finish(span: Span, method: str, route: str, status: int) -> None:
    """Name a request's span by its route and say how it ended."""
    span.update_name(f"{method} {route}")
    span.set_attribute("http.route", route)
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        span.set_status(Status(StatusCode.ERROR))
