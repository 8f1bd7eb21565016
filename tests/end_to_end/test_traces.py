"""The running program exports its spans by OTLP, as the standard variables say."""

import gzip
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests import serving as servers
from tests.end_to_end.program import serving


def test_spans_are_exported_at_the_end_at_the_latest() -> None:
    received: list[ExportTraceServiceRequest] = []

    class Collector(servers.Handler):
        def do_POST(self) -> None:  # noqa: N802 (the library's name)
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            received.append(ExportTraceServiceRequest.FromString(body))
            self.answer(200, b"", Content_Type="application/x-protobuf")

    handler: type[BaseHTTPRequestHandler] = Collector
    with servers.answering(handler) as url:
        given: dict[str, Any] = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": url,
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        }
        with serving("--port", "0", until="GraphiQL", **given) as server:
            server.ask("{ calls(first: 2) { nodes { sid } } }")

    resource = {
        attribute.key: attribute.value.string_value
        for request in received
        for spans in request.resource_spans
        for attribute in spans.resource.attributes
    }
    names = [
        span.name
        for request in received
        for spans in request.resource_spans
        for scope in spans.scope_spans
        for span in scope.spans
    ]
    assert resource["service.name"] == "twilio-calls-gateway"
    assert resource["deployment.environment.name"] == "test"
    assert sorted(names) == ["GET", "plan", "query"]
    assert server.exit_code == 0
    assert " trace=" in server.log
