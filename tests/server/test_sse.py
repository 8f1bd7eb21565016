"""Server-sent events over real sockets: when a client gets a stream, and its content."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from graphql import ExecutionResult
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.server import sse
from tests.plain_twilio import calls_in, sid
from tests.server.sockets import WATCH, Stage, events_of, stage
from tests.server.stage import listening

STREAM = {"accept": "text/event-stream"}
URQL = (
    "application/graphql-response+json, application/graphql+json, application/json, "
    "text/event-stream, multipart/mixed"
)
VARIABLES = {"sid": sid("CA", 1)}
ONE = "query One($sid: ID!) { call(sid: $sid) { status } }"


@asynccontextmanager
async def asked(
    there: Stage, query: str = WATCH, *, method: str = "POST", accept: str | None = None
) -> AsyncIterator[httpx.Response]:
    """A response whose body is not read yet."""
    headers = {"accept": accept or STREAM["accept"]}
    given: dict[str, Any] = {"json": {"query": query, "variables": VARIABLES}}
    if method == "GET":
        given = {"params": {"query": query, "variables": json.dumps(VARIABLES)}}
    async with (
        httpx.AsyncClient(timeout=30) as client,
        client.stream(method, there.url, headers=headers, **given) as response,
    ):
        yield response


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_subscription_is_a_stream_of_its_events(method: str) -> None:
    async with stage(calls_in("ringing")) as there, asked(there, method=method) as response:
        events = events_of(response)
        first = await anext(events)
        await there.goes(1, "in-progress")
        second = await anext(events)
        await there.goes(1, "completed")
        rest = [event async for event in events]

    assert response.headers["content-type"].startswith("text/event-stream")
    assert [name for name, _ in (first, second, *rest)] == ["next", "next", "next", "complete"]
    assert first[1]["data"]["callUpdated"]["call"]["status"] == "RINGING"
    assert second[1]["data"]["callUpdated"]["previousStatus"] == "RINGING"
    assert rest[0][1]["data"]["callUpdated"]["call"]["status"] == "COMPLETED"


async def test_lines_end_with_lf_alone() -> None:
    """urql and graphql-tools split events at LF LF only."""
    async with stage(calls_in("ringing")) as there:
        there.becomes(1, "completed")
        async with asked(there) as response:
            body = await response.aread()

    assert b"\r" not in body
    comment, event, complete, rest = body.split(b"\n\n")
    assert (comment, rest) == (b":", b"")
    assert event.startswith(b'event: next\ndata: {"data":{"callUpdated":')
    assert complete == b"event: complete\ndata:"


@pytest.mark.parametrize(
    "accept", [URQL, "*/*", "text/*", "application/json;q=0.1, text/event-stream;q=0"]
)
async def test_a_plain_query_is_answered_with_json_where_a_stream_is_not_preferred(
    accept: str,
) -> None:
    async with stage(calls_in("ringing")) as there, asked(there, ONE, accept=accept) as response:
        body = json.loads(await response.aread()) if "text/*" not in accept else None

    is_stream = response.headers["content-type"].startswith("text/event-stream")
    assert is_stream == (accept == "text/*")
    assert body in (None, {"data": {"call": {"status": "RINGING"}}})


@pytest.mark.parametrize("accept", [URQL, "*/*", "text/event-stream;q=0.1, application/json"])
async def test_a_subscription_is_a_stream_wherever_one_is_accepted(accept: str) -> None:
    async with stage(calls_in("ringing")) as there, asked(there, accept=accept) as response:
        name, result = await anext(events_of(response))

    assert (response.status_code, name) == (200, "next")
    assert result["data"]["callUpdated"]["call"]["status"] == "RINGING"


@pytest.mark.parametrize("accept", ["application/json", "application/graphql-response+json"])
async def test_a_subscription_that_accepts_only_json_gets_406_and_the_way_to_subscribe(
    accept: str,
) -> None:
    async with stage(calls_in("ringing")) as there, asked(there, accept=accept) as response:
        body = json.loads(await response.aread())

    assert response.status_code == 406
    (error,) = body["errors"]
    assert "text/event-stream" in error["message"]
    assert "graphql-transport-ws" in error["message"]
    assert there.twilio.requests == []


async def test_a_query_is_a_stream_of_one_event_if_streams_are_preferred() -> None:
    async with stage(calls_in("ringing")) as there, asked(there, ONE) as response:
        events = [event async for event in events_of(response)]

    assert events == [
        ("next", {"data": {"call": {"status": "RINGING"}}}),
        ("complete", None),
    ]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("{ nothing }", "Cannot query field 'nothing' on type 'Query'."),
        ("subscription {", "Syntax Error: Expected Name, found <EOF>."),
    ],
)
async def test_an_invalid_document_is_the_only_event_of_the_stream(
    query: str, message: str
) -> None:
    async with stage() as there, asked(there, query) as response:
        (name, result), end = [event async for event in events_of(response)]

    assert name == "next"
    assert [error["message"] for error in result["errors"]] == [message]
    assert "data" not in result
    assert end == ("complete", None)


async def test_a_call_that_does_not_exist_ends_the_stream_with_an_error() -> None:
    async with stage() as there, asked(there) as response:
        (_, result), end = [event async for event in events_of(response)]

    assert result["errors"][0]["extensions"] == {"code": "NOT_FOUND"}
    assert end == ("complete", None)


async def test_an_invalid_graphql_request_is_refused_in_json() -> None:
    async with stage() as there, httpx.AsyncClient() as client:
        response = await client.post(there.url, json={"query": 1}, headers=STREAM)

    assert response.status_code == 400
    assert response.headers["content-type"].startswith("application/json")


async def test_a_disconnect_ends_the_subscription() -> None:
    """`stage` fails if a task is left over."""
    async with stage(calls_in("ringing")) as there:
        async with asked(there) as response:
            await anext(events_of(response))
            await there.until_watched(1)
        await there.until_watched(0)


async def test_a_silent_stream_is_kept_alive() -> None:
    """A comment every HEARTBEAT_INTERVAL seconds, so that no proxy closes it."""
    async with stage(calls_in("ringing")) as there, asked(there) as response:
        lines = response.aiter_lines()
        began = asyncio.get_running_loop().time()
        while await anext(lines) != "event: next":
            pass
        while await anext(lines) != ":":
            pass
        waited = asyncio.get_running_loop().time() - began

    assert waited < 2 * sse.HEARTBEAT_INTERVAL


async def test_a_draining_server_ends_its_streams() -> None:
    """Without a complete event: the operation is not over, and the client reconnects."""
    leaves = asyncio.Event()
    results = forever()
    app = Starlette(routes=[Route("/graphql", lambda _: sse.EventStream(results, leaves))])
    async with (
        listening(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
        client.stream("GET", "/graphql") as response,
    ):
        events = events_of(response)
        first = await anext(events)
        leaves.set()
        rest = [event async for event in events]

    assert first == ("next", {"data": {"a": 1}})
    assert rest == []


async def forever() -> AsyncGenerator[ExecutionResult, None]:
    """Yields one result, then hangs."""
    yield ExecutionResult(data={"a": 1}, errors=None)
    await asyncio.Event().wait()
