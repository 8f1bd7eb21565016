"""One operation over every transport: the same limits apply, to coerced values."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from tests.plain_twilio import PlainTwilio, call, sid
from tests.server.sockets import Stage, events_of, stage

EDGES = "childCalls(first: $n) { nodes { recordings(first: $n) { nodes { sid } } } }"
QUERY = f"query Q($n: Int) {{ calls(first: $n) {{ nodes {{ {EDGES} }} }} }}"
SUBSCRIPTION = f"""subscription S($n: Int) {{ callUpdated(sid: "{sid("CA", 1)}") {{
    call {{ childCalls(first: 1000) {{ nodes {{ {EDGES} }} }} }} }} }}"""
Way = Callable[[Stage, str, dict[str, Any]], Awaitable[list[dict[str, Any]]]]


async def post(there: Stage, query: str, variables: dict[str, Any]) -> list[dict[str, Any]]:
    """The errors of the response to a POST."""
    async with httpx.AsyncClient() as client:
        response = await client.post(there.url, json={"query": query, "variables": variables})
    errors: list[dict[str, Any]] = response.json()["errors"]
    return errors


async def get(there: Stage, query: str, variables: dict[str, Any]) -> list[dict[str, Any]]:
    """The errors of the response to a GET."""
    asked = {"query": query, "variables": json.dumps(variables)}
    async with httpx.AsyncClient() as client:
        response = await client.get(there.url, params=asked)
    errors: list[dict[str, Any]] = response.json()["errors"]
    return errors


async def stream(there: Stage, query: str, variables: dict[str, Any]) -> list[dict[str, Any]]:
    """The errors of a stream's only event."""
    body = {"query": query, "variables": variables}
    headers = {"Accept": "text/event-stream"}
    async with (
        httpx.AsyncClient() as client,
        client.stream("POST", there.url, json=body, headers=headers) as response,
    ):
        events = [event async for event in events_of(response)]
    (_, result), end = events
    assert end == ("complete", None)
    errors: list[dict[str, Any]] = result["errors"]
    return errors


async def socket(there: Stage, query: str, variables: dict[str, Any]) -> list[dict[str, Any]]:
    """The errors of the socket message that ends the operation."""
    async with there.socket() as client:
        await client.subscribe("1", query, **variables)
        message = await client.receive()
    assert message["type"] == "error", message
    errors: list[dict[str, Any]] = message["payload"]
    return errors


async def operator(there: Stage, query: str, variables: dict[str, Any]) -> list[dict[str, Any]]:
    """The errors that `gateway query` prints."""
    answer = await there.gateway.execute_as_operator(query, variables, None)
    assert "data" not in answer
    errors: list[dict[str, Any]] = answer["errors"]
    return errors


QUERY_WAYS: list[Way] = [post, get, stream, socket, operator]
SUBSCRIPTION_WAYS: list[Way] = [stream, socket]
WAYS = [(way, QUERY) for way in QUERY_WAYS] + [(way, SUBSCRIPTION) for way in SUBSCRIPTION_WAYS]
REFUSED: list[tuple[Any, str]] = [
    (1000.0, "LIMIT_EXCEEDED"),
    (1000, "LIMIT_EXCEEDED"),
    (1001.0, "BAD_USER_INPUT"),
    (-1.0, "BAD_USER_INPUT"),
    ("1000", "BAD_USER_INPUT"),
    ([1000], "BAD_USER_INPUT"),
    (0.5, "BAD_USER_INPUT"),
]


@pytest.mark.parametrize(("size", "code"), REFUSED)
@pytest.mark.parametrize(
    ("way", "query"), WAYS, ids=lambda value: value.__name__ if callable(value) else value[:5]
)
async def test_variables_are_counted_after_coercion(
    way: Way, query: str, size: Any, code: str
) -> None:
    twilio = PlainTwilio(calls=[call(1)])
    async with stage(twilio) as there:
        (error,) = await way(there, query, {"n": size})

    assert error["extensions"]["code"] == code
    assert twilio.asked() == []
