"""What is counted, from requests to the exposition; no client can make up a time series."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import httpx
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from gateway.server import create_app
from gateway.settings import AccessMode, DocumentPolicy, Secret, Switch
from gateway.telemetry.hooks import OperationOutcome, Outcome
from gateway.telemetry.metrics import TABLE, Metrics
from gateway.telemetry.records import UpstreamExchange
from gateway.telemetry.samples import ProcessSample, UpstreamSample
from tests.metrics_page import PAGE, page_of
from tests.plain_twilio import ACCOUNT, TOKEN, PlainTwilio, call, sid
from tests.server.stage import settle
from tests.settings import settings_of

NESTED = "{ calls(first: 3) { nodes { sid parentCall { status } } } }"


class Scraped:
    """The samples of a registry by name and labels."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.text = generate_latest(registry).decode()
        self.samples = {
            (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
            for metric in registry.collect()
            for sample in metric.samples
        }

    def __call__(self, name: str, *labels: str) -> float:
        return self.samples.get((name, *labels), 0.0)


class Served:
    """An app with metrics, in process."""

    def __init__(self, twilio: httpx.AsyncBaseTransport, **settings: Any) -> None:
        given = {"account_sid": ACCOUNT, "auth_token": Secret(TOKEN), "metrics": Switch.ON}
        self.registry = CollectorRegistry()
        self.app = create_app(settings_of(**given | settings), twilio, self.registry)
        self._context = self.app.router.lifespan_context(self.app)

    async def __aenter__(self) -> "Served":
        await self._context.__aenter__()
        transport = httpx.ASGITransport(app=self.app)
        self.client = httpx.AsyncClient(transport=transport, base_url="http://gateway")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()
        await self._context.__aexit__(None, None, None)
        await settle()

    async def post(self, query: str, **headers: str) -> httpx.Response:
        return await self.client.post("/graphql", json={"query": query}, headers=headers)

    def scrape(self) -> Scraped:
        return Scraped(self.registry)


async def test_a_query_is_counted_with_its_upstream_requests_and_those_it_avoided() -> None:
    calls = [call(n, parent_call_sid=sid("CA", 2) if n != 2 else None) for n in (1, 2, 3)]
    async with Served(PlainTwilio(calls=calls)) as served:
        response = await served.post(NESTED)
        scraped = served.scrape()

    assert "errors" not in response.json()
    ok = "outcome=ok", "type=query"
    assert scraped("gateway_operation_duration_seconds_count", *ok) == 1
    assert scraped("gateway_operation_upstream_requests_sum", "type=query") == 1
    assert scraped("gateway_upstream_avoided_total", "way=known") == 2
    http = "method=POST", "route=/graphql", "status=200"
    assert scraped("http_server_request_duration_seconds_count", *http) == 1
    sent = "method=GET", "resource=calls", "status=200"
    assert scraped("http_client_request_duration_seconds_count", *sent) == 1
    assert scraped("gateway_upstream_wait_seconds_count", "priority=interactive") == 1
    assert scraped("gateway_upstream_limit") == 8


async def test_errors_refusals_and_retries_are_counted_by_closed_lists() -> None:
    def fault(request: httpx.Request) -> httpx.Response | None:
        return httpx.Response(503) if "Recordings" in request.url.path else None

    async with Served(PlainTwilio(calls=[call(1)], fault=fault), max_aliases=0) as served:
        await served.post("{ calls { nodes { recordings { nodes { sid } } } } }")
        await served.post("{ mine: calls { nodes { sid } } }")
        await served.post("{ nothing }")
        await served.client.post("/graphql", content=b"no json")
        scraped = served.scrape()

    seconds = "gateway_operation_duration_seconds_count"
    assert scraped(seconds, "outcome=partial", "type=query") == 1
    assert scraped(seconds, "outcome=refused", "type=query") == 2
    assert scraped(seconds, "outcome=refused", "type=none") == 1
    assert scraped("gateway_errors_total", "code=UPSTREAM_UNAVAILABLE") == 1
    assert scraped("gateway_errors_total", "code=GRAPHQL_VALIDATION_FAILED") == 1
    assert scraped("gateway_refusals_total", "reason=aliases") == 1
    assert scraped("gateway_upstream_retries_total", "reason=UpstreamUnavailable") == 2


async def test_a_refused_caller_is_counted() -> None:
    settings = {"account_sid": None, "auth_token": None, "access": AccessMode.PASSTHROUGH}
    async with Served(PlainTwilio(), **settings) as served:
        response = await served.post("{ calls { nodes { sid } } }")
        scraped = served.scrape()

    assert response.status_code == 401
    assert scraped("gateway_refusals_total", "reason=UNAUTHENTICATED") == 1


@given(st.text(max_size=30), st.text(max_size=30), st.integers(100, 599))
def test_no_text_of_a_client_becomes_a_label(text: str, other: str, status: int) -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, "1")
    metrics.on_response(text, other, status, 0.1)
    metrics.on_operation(
        OperationOutcome("http", 0.0, 0.1, text, other, Outcome.PARTIAL, (text, other))
    )
    metrics.on_exchange(UpstreamExchange("Calls", 0.1, status, resource=text))
    metrics.on_event(text, 0.1)

    allowed = {metric.name: metric.labels for metric in TABLE}
    for family in registry.collect():
        for sample in family.samples:
            name = re.sub("_(bucket|count|sum|created)$", "", sample.name)
            for label, value in sample.labels.items():
                closed = allowed.get(name, allowed.get(sample.name, {})).get(label, ())
                assert label == "le" or not closed or value == "other" or value in closed


async def test_counts_of_clients_go_on_and_gauges_are_those_of_the_last_sample() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, "1.2.3")
    before = UpstreamSample(
        in_flight=3, cache_hits=5, breakers={"calls": "open"}, cache_store={"hit": 2}
    )
    after = UpstreamSample(
        in_flight=1,
        cache_hits=7,
        breaker_refusals={"calls": 4},
        cache_store={"hit": 3, "failed": 1},
    )

    metrics.sample(ProcessSample({1: before}, subscriptions=9, lag=0.2))
    metrics.sample(ProcessSample({1: after, 2: before}, subscriptions=2, lag=-0.1))
    metrics.sample(ProcessSample({2: before}, subscriptions=2, lag=0.0))

    scraped = Scraped(registry)
    assert scraped("gateway_cache_requests_total", "result=hit") == 12
    assert scraped("gateway_cache_store_requests_total", "result=hit") == 5
    assert scraped("gateway_cache_store_requests_total", "result=failed") == 1
    assert scraped("gateway_breaker_refusals_total", "resource=calls") == 4
    assert scraped("gateway_breaker_state", "resource=calls") == 2
    assert scraped("gateway_upstream_in_flight") == 3
    assert scraped("gateway_subscriptions") == 2
    assert scraped("gateway_event_loop_lag_seconds_sum") == 0.2
    assert scraped("gateway_build_info", "version=1.2.3") == 1


async def test_what_a_hostile_client_sends_is_in_no_metric() -> None:
    number, name = "+16175550123", "Steal16175550123"
    async with Served(PlainTwilio(calls=[call(1, to=number)])) as served:
        root = f"{name}: calls(filter: {{to: $to}}) {{ nodes {{ to }} }}"
        text = f"query {name}($to: String) {{ {root} }}"
        for document in (
            text,
            f"{{ {name} }}",
            f"query {name}",
            f'{{ call(sid: "{number}") {{ sid }} }}',
        ):
            body = {"query": document, "variables": {"to": number}, "operationName": name}
            await served.client.post("/graphql", json=body, headers={"X-Name": name})
            await served.client.get(f"/{name}", params={"q": number})
        await served.client.request(name.upper(), "/graphql")
        scraped = served.scrape()

    assert number[1:] not in scraped.text
    assert "16175550123" not in scraped.text
    assert sid("CA", 1) not in scraped.text


def test_counters_of_closed_lists_begin_at_zero() -> None:
    registry = CollectorRegistry()
    Metrics(registry, "1")
    samples = Scraped(registry).samples

    assert samples["gateway_errors_total", "code=UPSTREAM_AUTH"] == 0
    assert samples["gateway_webhooks_total", "result=forged"] == 0


async def test_without_the_setting_nothing_is_counted() -> None:
    async with Served(PlainTwilio(calls=[call(1)]), metrics=Switch.OFF) as served:
        await served.post("{ calls { nodes { sid } } }")

    assert served.scrape().samples == {}


def test_the_metrics_page_holds_the_table_of_the_metrics() -> None:
    """`python -m tests.metrics_page` after a change."""
    assert PAGE.read_text() == page_of(PAGE.read_text())


async def test_a_busy_loop_is_seen() -> None:
    async with Served(PlainTwilio()) as served:
        while served.scrape()("gateway_event_loop_lag_seconds_count") < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_operations_of_trusted_documents_are_counted_by_name(tmp_path: Path) -> None:
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"1": "query Mine { calls { nodes { sid } } }"}))
    settings = {"documents": DocumentPolicy.WARN, "documents_file": (str(manifest),)}
    twilio = PlainTwilio(calls=[call(1)])
    app = await asyncio.to_thread(Served, twilio, **settings)
    async with app as served:
        await served.client.post("/graphql/1", json={})
        await served.client.get("/graphql/2")
        await served.post("query Theirs { calls { nodes { sid } } }")
        scraped = served.scrape()

    name = "gateway_document_operations_total"
    assert scraped(name, "document=Mine", "outcome=ok") == 1
    assert scraped(name, "document=other", "outcome=ok") == 1
    assert scraped(name, "document=other", "outcome=refused") == 1
    assert "Theirs" not in scraped.text
    route = "method=POST", "route=/graphql", "status=200"
    assert scraped("http_server_request_duration_seconds_count", *route) == 2


def test_reloaded_manifests_cannot_make_up_time_series_without_end() -> None:
    registry = CollectorRegistry()
    metrics = Metrics(registry, "1")
    for n in range(600):
        outcome = OperationOutcome("http", 0.0, 0.1, "query", outcome=Outcome.OK)
        outcome.document = f"Q{n}"
        metrics.on_operation(outcome)

    scraped = Scraped(registry)
    assert scraped("gateway_document_operations_total", "document=Q499", "outcome=ok") == 1
    assert scraped("gateway_document_operations_total", "document=other", "outcome=ok") == 100
