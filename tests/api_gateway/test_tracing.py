"""Spans of requests at a real receiver of OTLP."""

from __future__ import annotations

import time
from typing import Any

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import SecretStr

from mofsim_settings import DatabaseSettings, PrefectSettings, Settings, TracingSettings
from tests.api_gateway.webhooks.receiver import Receiver, receiving
from tests.fixtures.gateway import NOBODY, serve

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


def spans(receiver: Receiver) -> list[Any]:
    found = []
    for _, raw in list(receiver.requests):
        for resource in ExportTraceServiceRequest.FromString(raw).resource_spans:
            for scope in resource.scope_spans:
                found += list(scope.spans)
    return found


def test_a_request_is_a_span_of_the_client_s_trace_with_its_request_id(
    database_url: str, tmp_path: Any
) -> None:
    with receiving() as receiver:
        settings = Settings(
            home=tmp_path,
            database=DatabaseSettings(url=SecretStr(database_url)),
            prefect=PrefectSettings(api_url=NOBODY),
            tracing=TracingSettings(
                otlp_endpoint=receiver.url.partition("/hook")[0], export_every_seconds=0.2
            ),
        )
        with serve(settings) as url:
            headers = {"X-Request-ID": "req_traced", "traceparent": f"00-{TRACE}-{PARENT}-01"}
            httpx.get(f"{url}/api/v1/tasks/task_x", headers=headers)
            deadline = time.monotonic() + 60
            while not (found := [span for span in spans(receiver) if span.trace_id.hex() == TRACE]):
                assert time.monotonic() < deadline, "no span came"
                time.sleep(0.05)
    (span,) = found
    attributes = {one.key: one.value for one in span.attributes}
    assert span.parent_span_id.hex() == PARENT
    assert span.name == "GET /tasks/{task_id}"
    assert attributes["mofsim.request_id"].string_value == "req_traced"
    assert attributes["http.response.status_code"].int_value == 401
