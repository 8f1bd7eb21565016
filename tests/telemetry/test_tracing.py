"""Spans from requests to the exporter: what they say, whose trace they join, and what they hide."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased
from opentelemetry.trace import SpanKind

from gateway.access import ANONYMOUS
from gateway.access.tokens import new_token
from gateway.server import create_app, open_gateway
from gateway.server.traces import open_tracing
from gateway.settings import AccessMode, Secret, SettingsError
from gateway.telemetry.hooks import Telemetry
from gateway.telemetry.tracing import Tracing
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, call, sid
from tests.server.stage import settle
from tests.settings import settings_of

PARENT = "0af7651916cd43dd8448eb211c80319c"
SAMPLED, UNSAMPLED = f"00-{PARENT}-b7ad6b7169203331-01", f"00-{PARENT}-b7ad6b7169203331-00"
ATTRIBUTES = {
    "error.type", "gateway.error.codes", "gateway.failed_attempts", "gateway.outcome",
    "gateway.plan.per_key_requests", "gateway.plan.predicted_requests",
    "gateway.plan.predicted_seconds", "gateway.plan.scans", "gateway.rows", "gateway.transport",
    "gateway.upstream.avoided", "gateway.upstream.requests", "gateway.used",
    "gateway.wait_seconds", "gateway.way", "graphql.operation.type", "http.request.method",
    "http.request.resend_count", "http.response.status_code", "server.address",
    "twilio.request_id", "url.template",
}  # fmt: skip


class Traced:
    """Tracing into memory. Unlike production's, its exporter is told at once."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(
            sampler=ParentBased(ALWAYS_ON), resource=Resource({}), shutdown_on_exit=False
        )
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(provider, "1", "api.twilio.com")

    @property
    def spans(self) -> list[ReadableSpan]:
        """All spans, in the order of their ends."""
        return list(self._exporter.get_finished_spans())

    def span(self, name: str) -> ReadableSpan:
        """The one span of this name."""
        (found,) = (span for span in self.spans if span.name == name)
        return found


@asynccontextmanager
async def served(
    traced: Traced, twilio: httpx.AsyncBaseTransport, **settings: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app, in process."""
    given = {"account_sid": ACCOUNT, "auth_token": Secret(TOKEN)} | settings
    make = partial(create_app, settings_of(**given), twilio, tracing=traced.tracing)
    app = await asyncio.to_thread(make)  # it reads the file of tokens
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://gateway") as client,
    ):
        yield client
    await settle()


async def test_an_operation_has_its_plans_and_upstream_requests_below_it() -> None:
    traced, twilio = Traced(), PlainTwilio(calls=[call(1), call(2)])
    async with served(traced, twilio) as client:
        query = "{ calls { nodes { sid recordings { nodes { sid } } } } }"
        response = await client.post("/graphql", json={"query": query})

    assert "errors" not in response.json()
    root = traced.span("query")
    assert root.attributes is not None
    assert root.kind is SpanKind.SERVER
    assert root.attributes["gateway.upstream.requests"] == len(twilio.requests)
    children = [span for span in traced.spans if span is not root]
    assert {span.parent.span_id for span in children if span.parent} == {root.context.span_id}
    assert {span.context.trace_id for span in children} == {root.context.trace_id}
    assert all(root.start_time <= span.start_time <= span.end_time for span in children)  # type: ignore[operator]
    sent = [dict(span.attributes or {}) for span in children if span.name == "GET"]
    assert len(sent) == len(twilio.requests)
    assert sent[0]["url.template"] == "/Calls"
    assert {span["server.address"] for span in sent} == {"api.twilio.com"}
    plans = [dict(span.attributes or {}) for span in children if span.name == "plan"]
    assert [plan["gateway.plan.per_key_requests"] for plan in plans] == [1, 2]


async def test_a_partial_answer_is_no_error_of_its_span_but_of_the_request_that_failed() -> None:
    def fault(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(503) if "Recordings" in request.url.path else None

    traced = Traced()
    async with served(traced, PlainTwilio(calls=[call(1)], fault=fault)) as client:
        query = "{ calls { nodes { sid recordings { nodes { sid } } } } }"
        await client.post("/graphql", json={"query": query})

    root = traced.span("query")
    assert root.attributes is not None
    assert root.status.is_unset
    assert root.attributes["gateway.error.codes"] == ("UPSTREAM_UNAVAILABLE",)
    (failed,) = (span for span in traced.spans if not span.status.is_unset)
    assert failed.attributes is not None
    assert failed.attributes["url.template"] == "/Calls/{sid}/Recordings"
    assert failed.attributes["http.request.resend_count"] == 2
    assert failed.attributes["error.type"] == "UPSTREAM_UNAVAILABLE"


@pytest.mark.parametrize("header", [SAMPLED, UNSAMPLED], ids=["sampled", "unsampled"])
async def test_a_strangers_trace_is_only_a_link_and_decides_nothing(header: str) -> None:
    traced = Traced()
    async with served(traced, PlainTwilio(calls=[])) as client:
        headers = {"traceparent": header}
        await client.post("/graphql", json={"query": "{ __typename }"}, headers=headers)

    root = traced.span("query")
    assert root.parent is None
    assert f"{root.context.trace_id:032x}" != PARENT
    assert [f"{link.context.trace_id:032x}" for link in root.links] == [PARENT]


@pytest.mark.parametrize(("header", "spans"), [(SAMPLED, 1), (UNSAMPLED, 0)])
async def test_a_known_callers_trace_is_joined_and_decides_sampling(
    tmp_path: Path, header: str, spans: int, caplog: pytest.LogCaptureFixture
) -> None:
    token, line = new_token("kim", "read")
    (tmp_path / "tokens").write_text(f"{line}\n")
    traced = Traced()
    settings = {"access": AccessMode.TOKEN, "tokens_file": str(tmp_path / "tokens")}
    with caplog.at_level(logging.INFO, "gateway.operation"):
        async with served(traced, PlainTwilio(), **settings) as client:
            headers = {"traceparent": header, "Authorization": f"Bearer {token}"}
            await client.post("/graphql", json={"query": "{ __typename }"}, headers=headers)

    assert [f"{span.context.trace_id:032x}" for span in traced.spans] == [PARENT] * spans
    (record,) = (one for one in caplog.records if one.name == "gateway.operation")
    assert record.fields["trace"] == PARENT  # type: ignore[attr-defined]


async def test_a_subscription_has_one_span_for_each_event_however_many_subscribers() -> None:
    traced, twilio = Traced(), PlainTwilio(calls=[call(1, status="completed")])
    settings = settings_of(account_sid=ACCOUNT, auth_token=Secret(TOKEN))
    watch = f'subscription {{ callUpdated(sid: "{sid("CA", 1)}") {{ call {{ status }} }} }}'
    async with open_gateway(settings, twilio, telemetry=Telemetry(traced.tracing)) as gateway:
        for _ in range(2):
            async with aclosing(gateway.stream(watch, caller=ANONYMOUS)) as results:
                async for result in results:
                    assert result.errors is None

    names = [span.name for span in traced.spans]
    assert names.count("subscription") == 2


async def test_nothing_that_a_client_or_a_row_says_is_in_a_span() -> None:
    number, name = "+16175550123", "Steal16175550123"
    traced = Traced()
    rows = [call(1, to=number, caller_name=name), call(2, from_=number)]
    async with served(traced, PlainTwilio(calls=rows)) as client:
        root = f"{name}: calls(filter: {{to: $to}}) {{ nodes {{ to callerName }} }}"
        texts = (
            f"query {name}($to: String) {{ {root} }}",
            f"{{ {name} }}",
            f"query {name}",
            f'{{ call(sid: "{number}") {{ sid }} }}',
            f'mutation {{ makeCall(input: {{to: "{number}"}}) {{ call {{ sid }} }} }}',
        )
        for text in texts:
            body = {"query": text, "variables": {"to": number}, "operationName": name}
            headers = {"traceparent": name, "tracestate": name, "baggage": f"a={name}"}
            await client.post("/graphql", json=body, headers=headers)
            await client.post("/graphql", json=body | {"operationName": None}, headers=headers)

    assert len(traced.spans) >= 2 * len(texts)
    text = json.dumps([json.loads(span.to_json()) for span in traced.spans])
    assert "16175550123" not in text
    keys = {key for span in traced.spans for key in span.attributes or {}}
    assert keys <= ATTRIBUTES


async def test_without_tracing_no_plan_is_kept_and_no_span_made() -> None:
    settings = settings_of(account_sid=ACCOUNT, auth_token=Secret(TOKEN))

    assert open_tracing(settings, {}) is None
    assert open_tracing(settings, {"OTEL_TRACES_EXPORTER": "none"}) is None
    async with open_gateway(settings, PlainTwilio()) as gateway:
        assert not gateway.telemetry.wants_traces


@pytest.mark.parametrize(
    "environment",
    [
        {"OTEL_TRACES_EXPORTER": "zipkin"},
        {
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4317",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        },
    ],
)
def test_an_exporter_that_is_not_here_ends_the_start(environment: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="OTEL_"):
        open_tracing(settings_of(), environment)
