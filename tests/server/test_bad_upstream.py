"""A bad upstream at every stage: partial data stays, errors have paths, nothing hangs or leaks."""

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from gateway.settings import PlannerMode
from tests.plain_twilio import PlainTwilio, Row, call, error, notification, recording, sid
from tests.server.stage import served, settle
from tests.waiting import until_in_loop

ALL_EDGES = """{
  calls(first: 2) { nodes {
    sid
    parentCall { sid }
    childCalls { nodes { sid } }
    recordings { nodes { sid } }
    notifications { nodes { sid } }
  } }
}"""
EDGES = ("parentCall", "childCalls", "recordings", "notifications")


def account() -> PlainTwilio:
    """Calls 1 and 2 with rows for every edge; their parents 8 and 9 are beyond the page."""
    return PlainTwilio(
        calls=[
            call(1, at=10, parent_call_sid=sid("CA", 8), direction="outbound-dial"),
            call(2, at=9, parent_call_sid=sid("CA", 9), direction="outbound-dial"),
            call(7, at=1),
            call(8, at=0),
            call(9, at=0),
        ],
        recordings=[recording(1, of=1), recording(2, of=2)],
        notifications=[notification(1, of=1), notification(2, of=2)],
    )


class Kept(logging.Handler):
    """Records log messages."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture(scope="module", autouse=True)
def no_error_unretrieved() -> Iterator[None]:
    """Fails if asyncio reports an exception that was never retrieved."""
    kept = Kept()
    logging.getLogger("asyncio").addHandler(kept)
    yield
    gc.collect()
    logging.getLogger("asyncio").removeHandler(kept)
    assert kept.lines == []


@dataclass
class Stage:
    """A fault at one stage of a request, and its error code."""

    code: str
    fault: Callable[[httpx.Request], httpx.Response]
    settings: dict[str, Any] = field(default_factory=dict)


def fails_with(exception: Exception) -> Callable[[httpx.Request], httpx.Response]:
    """Raises instead of answering."""

    def fault(_request: httpx.Request) -> httpx.Response:
        raise exception

    return fault


def answers(content: bytes, status: int = 200) -> Callable[[httpx.Request], httpx.Response]:
    """Answers every request with this."""
    return lambda _: httpx.Response(status, content=content)


def breaks_in_the_body(_request: httpx.Request) -> httpx.Response:
    """Sends half a body, then breaks the connection."""

    async def body() -> AsyncIterator[bytes]:
        yield b'{"calls": ['
        raise httpx.ReadError("reset")

    return httpx.Response(200, content=body())


def drips(_request: httpx.Request) -> httpx.Response:
    """Sends an endless body."""

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.002)

    return httpx.Response(200, content=body())


STAGES = {
    "connect": Stage("UPSTREAM_UNAVAILABLE", fails_with(httpx.ConnectError("refused"))),
    "connect, slowly": Stage("UPSTREAM_UNAVAILABLE", fails_with(httpx.ConnectTimeout("slow"))),
    "headers": Stage("UPSTREAM_UNAVAILABLE", fails_with(httpx.RemoteProtocolError("no HTTP"))),
    "headers, slowly": Stage("UPSTREAM_TIMEOUT", fails_with(httpx.ReadTimeout("slow"))),
    "body": Stage("UPSTREAM_UNAVAILABLE", breaks_in_the_body),
    "body, slowly": Stage("UPSTREAM_TIMEOUT", drips, {"read_timeout": 0.1}),
    "body, past the deadline": Stage("UPSTREAM_TIMEOUT", drips, {"operation_timeout": 0.3}),
    "html": Stage("UPSTREAM_INVALID", answers(b"<html>")),
    "no row and no list": Stage(
        "UPSTREAM_INVALID",
        answers(b'{"sid": 5, "calls": 5, "recordings": 5, "notifications": 5}'),
    ),
    "302": Stage("UPSTREAM_INVALID", answers(b"", 302)),
    "400": Stage("UPSTREAM_REJECTED", answers(b"{}", 400)),
    "401": Stage("UPSTREAM_AUTH", answers(b"{}", 401)),
    "429": Stage("UPSTREAM_RATE_LIMITED", lambda _: error(429, 20429)),
    "500": Stage("UPSTREAM_UNAVAILABLE", answers(b"oops", 500)),
    "503": Stage("UPSTREAM_UNAVAILABLE", lambda _: error(503, 20503)),
}
EVERY_STAGE = pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)


def is_root(request: httpx.Request) -> bool:
    """True for the list of calls at the query's root."""
    return request.url.path.endswith("/Calls.json") and "Parent" not in str(request.url)


def edge_of(request: httpx.Request) -> str:
    """The edge for which a request is sent."""
    for name in ("recordings", "notifications"):
        if request.url.path.endswith(f"/{name.title()}.json"):
            return name
    return "childCalls" if "ParentCallSid" in str(request.url) else "parentCall"


async def ask(twilio: PlainTwilio, **settings: Any) -> dict[str, Any]:
    """The response to the query with all edges. Fails if it takes long."""
    started = time.monotonic()
    async with served(twilio, **settings) as client:
        response = await client.post("/graphql", json={"query": ALL_EDGES})
    assert time.monotonic() - started < 5
    assert response.status_code == 200
    body: dict[str, Any] = response.json()
    return body


def assert_complete(nodes: list[Row], but: tuple[str, ...]) -> None:
    """Checks that every edge of both calls has rows, except those in `but`, which are null."""
    for number, node in enumerate(nodes, start=1):
        assert node == {
            "sid": sid("CA", number),
            "parentCall": {"sid": sid("CA", number + 7)},
            "childCalls": {"nodes": []},
            "recordings": {"nodes": [{"sid": sid("RE", number)}]},
            "notifications": {"nodes": [{"sid": sid("NO", number)}]},
        } | dict.fromkeys(but)


async def test_the_account_without_a_fault() -> None:
    """The baseline of the tests below."""
    body = await ask(account())

    assert "errors" not in body
    assert_complete(body["data"]["calls"]["nodes"], but=())


@EVERY_STAGE
async def test_a_root_that_fails_is_one_error_and_null(stage: Stage) -> None:
    twilio = account()
    twilio.fault = lambda request: stage.fault(request) if is_root(request) else None
    body = await ask(twilio, **stage.settings)

    (only,) = body["errors"]
    assert body["data"] == {"calls": None}
    assert (only["path"], only["extensions"]["code"]) == (["calls"], stage.code)
    assert twilio.in_flight == 0


@EVERY_STAGE
async def test_edges_that_fail_are_null_and_the_calls_stay(stage: Stage) -> None:
    """The calls and all that is known about them are answered."""
    twilio = account()
    twilio.fault = lambda request: None if is_root(request) else stage.fault(request)
    body = await ask(twilio, **stage.settings)

    failed = sorted({edge_of_path(e["path"]) for e in body["errors"]})
    assert failed == ["notifications", "parentCall", "recordings"]
    assert_complete(body["data"]["calls"]["nodes"], but=tuple(failed))
    assert {e["extensions"]["code"] for e in body["errors"]} == {stage.code}
    assert len(body["errors"]) == 2 * len(failed)
    assert twilio.in_flight == 0


def edge_of_path(path: list[Any]) -> str:
    """The edge at which an error's path ends: calls, nodes, index, edge."""
    assert path[:2] == ["calls", "nodes"]
    assert path[2] in {0, 1}
    assert len(path) == 4
    return str(path[3])


@pytest.mark.parametrize("edge", ["parentCall", "recordings", "notifications"])
@EVERY_STAGE
async def test_one_edge_that_fails_for_one_call_fails_that_field_only(
    stage: Stage, edge: str
) -> None:
    twilio = account()

    def fault(request: httpx.Request) -> httpx.Response | None:
        is_of_call_1 = sid("CA", 1) in request.url.path or sid("CA", 8) in request.url.path
        is_meant = not is_root(request) and edge_of(request) == edge and is_of_call_1
        return stage.fault(request) if is_meant else None

    twilio.fault = fault
    body = await ask(twilio, planner=PlannerMode.PER_KEY, **stage.settings)

    (only,) = body["errors"]
    assert only["path"] == ["calls", "nodes", 0, edge]
    assert only["extensions"]["code"] == stage.code
    one, two = body["data"]["calls"]["nodes"]
    assert_complete([one], but=(edge,))
    assert two[edge] is not None
    assert twilio.in_flight == 0


@EVERY_STAGE
async def test_children_that_fail_are_null_and_the_call_stays(stage: Stage) -> None:
    """By SID: without a list, a call's children are a request of their own."""
    twilio = PlainTwilio(calls=[call(1)])
    twilio.fault = lambda r: stage.fault(r) if "ParentCallSid" in str(r.url) else None
    query = f'{{ call(sid: "{sid("CA", 1)}") {{ sid childCalls {{ nodes {{ sid }} }} }} }}'
    async with served(twilio, **stage.settings) as client:
        body = (await client.post("/graphql", json={"query": query})).json()

    assert body["data"] == {"call": {"sid": sid("CA", 1), "childCalls": None}}
    assert [e["path"] for e in body["errors"]] == [["call", "childCalls"]]
    assert body["errors"][0]["extensions"]["code"] == stage.code


async def test_twilios_numbers_are_in_the_errors_and_its_words_are_not() -> None:
    twilio = account()
    twilio.fault = lambda request: error(429, 20429) if "Recordings" in request.url.path else None
    body = await ask(twilio)

    for one in body["errors"]:
        assert one["message"] == "Upstream answered 429: too many requests at once"
        assert one["extensions"] == {
            "code": "UPSTREAM_RATE_LIMITED",
            "twilioCode": 20429,
            "httpStatus": 429,
            "moreInfo": "https://www.twilio.com/docs/errors/20429",
            "requestId": "RQ" + "0" * 32,
            "retryAfter": 1.0,
        }


async def test_a_bad_value_fails_its_own_field_only() -> None:
    twilio = PlainTwilio(
        calls=[
            call(1, duration="long", start_time="yesterday", price=[], caller_name="Alice"),
            call(2),
        ]
    )
    query = "{ calls { nodes { sid duration startTime price callerName } } }"
    async with served(twilio) as client:
        body = (await client.post("/graphql", json={"query": query})).json()

    one, two = body["data"]["calls"]["nodes"]
    assert one == {
        "sid": sid("CA", 1),
        "duration": None,
        "startTime": None,
        "price": None,
        "callerName": "Alice",
    }
    assert None not in (two["duration"], two["startTime"], two["price"])
    assert sorted(e["path"][3] for e in body["errors"]) == ["duration", "price", "startTime"]
    assert {e["extensions"]["code"] for e in body["errors"]} == {"UPSTREAM_INVALID"}


async def test_rows_read_before_the_deadline_are_kept() -> None:
    """Only the slow part is cancelled at the operation's deadline."""
    twilio = account()

    async def slow() -> AsyncIterator[bytes]:
        await asyncio.sleep(30)
        yield b""

    twilio.fault = lambda request: (
        httpx.Response(200, content=slow()) if "Notifications" in request.url.path else None
    )
    body = await ask(twilio, operation_timeout=0.5)

    assert_complete(body["data"]["calls"]["nodes"], but=("notifications",))
    assert [e["extensions"]["code"] for e in body["errors"]] == ["UPSTREAM_TIMEOUT"] * 2


async def test_a_header_lowers_the_deadline_and_never_raises_it() -> None:
    twilio = account()
    twilio.fault = lambda request: drips(request) if "Notifications" in request.url.path else None
    for header, setting in (("0.4", 10.0), ("10", 0.4)):
        async with served(twilio, operation_timeout=setting) as client:
            started = time.monotonic()
            response = await client.post(
                "/graphql", json={"query": ALL_EDGES}, headers={"Gateway-Timeout": header}
            )
        body = response.json()
        assert time.monotonic() - started < 3
        assert_complete(body["data"]["calls"]["nodes"], but=("notifications",))
        assert [e["extensions"]["code"] for e in body["errors"]] == ["UPSTREAM_TIMEOUT"] * 2


async def test_a_chain_of_reads_keeps_what_was_read_before_the_deadline() -> None:
    """Each read alone is in time, but their sum is not."""
    chain = [call(n, at=9 - n, parent_call_sid=sid("CA", n + 1)) for n in range(1, 9)]
    twilio = PlainTwilio(calls=[*chain, call(9)], delay=0.15)
    query = "sid " + "parentCall { sid " * 8 + "}" * 8
    async with served(twilio, operation_timeout=0.6) as client:
        started = time.monotonic()
        body = (
            await client.post(
                "/graphql", json={"query": f'{{ call(sid: "{sid("CA", 1)}") {{ {query} }} }}'}
            )
        ).json()

    assert time.monotonic() - started < 3
    depth, node = 0, body["data"]["call"]
    while node is not None:
        depth, node = depth + 1, node["parentCall"]
    assert 1 <= depth <= 4
    (only,) = body["errors"]
    assert only["path"] == ["call", *["parentCall"] * depth]
    assert only["extensions"]["code"] == "UPSTREAM_TIMEOUT"


async def test_a_page_link_to_elsewhere_is_not_followed() -> None:
    twilio = PlainTwilio(calls=[call(number) for number in range(3)])

    def fault(request: httpx.Request) -> httpx.Response:
        body = {"calls": [call(1)], "next_page_uri": "https://evil.example/Calls.json?Page=1"}
        return httpx.Response(200, json=body)

    twilio.fault = fault
    async with served(twilio) as client:
        query = "{ calls(first: 3) { nodes { sid } } }"
        body = (await client.post("/graphql", json={"query": query})).json()

    assert body["errors"][0]["extensions"]["code"] == "UPSTREAM_INVALID"
    assert "evil" not in str(body)
    assert len(twilio.asked()) == 1


async def test_an_operation_that_ends_early_does_not_cancel_others_of_the_same_read() -> None:
    twilio = PlainTwilio(calls=[call(1)], delay=0.05)
    query = {"query": "{ calls { nodes { sid } } }"}
    async with served(twilio) as client:
        first = asyncio.ensure_future(client.post("/graphql", json=query))
        await until_in_loop(lambda: twilio.in_flight == 1)
        second = asyncio.ensure_future(client.post("/graphql", json=query))
        await settle()
        first.cancel()
        answer = await second
        await asyncio.gather(first, return_exceptions=True)

    assert answer.json()["data"]["calls"]["nodes"] == [{"sid": sid("CA", 1)}]


@pytest.mark.parametrize("in_flight", [1, 4], ids=["the root", "the edges"])
async def test_a_cancelled_operation_cancels_its_requests(in_flight: int) -> None:
    """With one request upstream hangs at the root, with four at two parents and two lists."""
    twilio = account()
    twilio.delay = 60 if in_flight == 1 else 0

    def hang_from_now_on(_request: httpx.Request) -> None:
        twilio.delay = 60

    twilio.fault = hang_from_now_on
    async with served(twilio) as client:
        operation = asyncio.ensure_future(client.post("/graphql", json={"query": ALL_EDGES}))
        await until_in_loop(lambda: twilio.in_flight == in_flight)
        operation.cancel()
        await asyncio.gather(operation, return_exceptions=True)
        await settle()

    assert (twilio.in_flight, twilio.cancelled) == (0, in_flight)


async def test_an_operation_cancelled_before_its_first_request_sends_none() -> None:
    twilio = account()
    async with served(twilio) as client:
        operation = asyncio.ensure_future(client.post("/graphql", json={"query": ALL_EDGES}))
        for _ in range(8):  # fewer turns than the loaders wait for quiet
            await asyncio.sleep(0)
        operation.cancel()
        await asyncio.gather(operation, return_exceptions=True)
        await settle()

    assert twilio.asked() == []
