"""A fault of ours while something is read costs the fields that want it, and nothing else.

Whatever no module expects (here: an exception of a transport that is not httpx's) becomes the
field's INTERNAL_ERROR; it never ends the whole operation without an answer.
"""

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from gateway.access import ANONYMOUS
from gateway.server import OperationOptions
from gateway.telemetry.upstream_trace import Explain
from tests.conftest import connect
from tests.plain_twilio import NOON, PlainTwilio, call, notification, recording, sid

MANY = 40
EDGES = """{ calls(first: 40) { nodes { sid recordings { nodes { sid } } } }
    one: call(sid: "%s") { sid } }""" % sid("CA", 1)  # noqa: UP031 (braces)


def account() -> PlainTwilio:
    """Calls with a recording each, close together: one list answers for all of them."""
    numbers = range(1, MANY + 1)
    return PlainTwilio(
        calls=[call(number, at=-60 * number) for number in numbers],
        recordings=[recording(number, of=number, at=-60 * number + 5) for number in numbers],
    )


def breaks_at(twilio: PlainTwilio, part: str, error: BaseException) -> None:
    """Whatever holds this in its path breaks."""

    def fault(request: httpx.Request) -> None:
        if part in request.url.path:
            raise error

    twilio.fault = fault


async def asked(twilio: PlainTwilio, query: str = EDGES) -> dict[str, Any]:
    """The answer, which must come."""
    async with connect(twilio, NOON + timedelta(hours=3)) as client, asyncio.timeout(10):
        return await client.answer(query)


async def test_the_edge_is_read_by_a_list() -> None:
    """What the others rest on."""
    twilio = account()
    answer = await asked(twilio)

    assert "errors" not in answer
    assert [request.split("?")[0] for request in twilio.asked()] == [
        f"GET Calls/{sid('CA', 1)}", "GET Calls", "GET Recordings",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError(), RuntimeError("closed"), OSError("gone"), KeyError("x")],
    ids=lambda error: type(error).__name__,
)
async def test_a_fault_while_a_covering_list_is_read_is_an_error_of_its_fields(
    error: Exception,
) -> None:
    twilio = account()
    breaks_at(twilio, "/Recordings", error)
    answer = await asked(twilio)

    assert answer["data"]["one"] == {"sid": sid("CA", 1)}
    assert len(answer["data"]["calls"]["nodes"]) == MANY
    paths = {tuple(error["path"]) for error in answer["errors"]}
    assert paths == {("calls", "nodes", index, "recordings") for index in range(MANY)}
    codes = {error["extensions"]["code"] for error in answer["errors"]}
    assert codes == (
        {"UPSTREAM_TIMEOUT"} if isinstance(error, TimeoutError) else {"INTERNAL_ERROR"}
    )


class Uneven(PlainTwilio):
    """Recordings break at once, everything else takes a moment."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "/Recordings" in request.url.path:
            raise ZeroDivisionError
        return await super().handle_async_request(request)


async def test_a_fault_in_one_list_costs_no_other_that_is_read_beside_it() -> None:
    plain = account()
    rows = [notification(n, of=n, at=-60 * n + 5) for n in range(1, MANY + 1)]
    twilio = Uneven(calls=plain.calls, notifications=rows, delay=0.05)
    answer = await asked(
        twilio,
        "{ calls(first: 40) { nodes { recordings { nodes { sid } } "
        "notifications { nodes { sid } } } } }",
    )

    nodes = answer["data"]["calls"]["nodes"]
    assert [node["recordings"] for node in nodes] == [None] * MANY
    found = [node["notifications"]["nodes"][0]["sid"] for node in nodes]
    assert found == [row["sid"] for row in rows]


async def test_the_explanation_says_that_it_was_an_internal_error() -> None:
    twilio = account()
    breaks_at(twilio, "/Recordings", ZeroDivisionError())
    async with connect(twilio, NOON + timedelta(hours=3)) as client, asyncio.timeout(10):
        result = await client.gateway.execute(
            client.gateway.prepare(EDGES),
            caller=ANONYMOUS,
            options=OperationOptions(explain=Explain.REQUESTS),
        )

    assert result.extensions
    statuses = {one["path"]: one["status"] for one in result.extensions["upstream"]["exchanges"]}
    assert statuses["Recordings"] == "INTERNAL_ERROR"
    assert statuses["Calls"] == "ok"
