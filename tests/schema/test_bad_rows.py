"""Rows that break the documentation: the response holds all that can be read of them."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.conftest import connect
from tests.plain_twilio import ACCOUNT, PlainTwilio, Row, call, notification, recording, sid
from tests.schema.mutations import END, LIVE

NOTHING: list[Any] = ["", None, ..., {"a": 1}]
EACH_NOTHING = pytest.mark.parametrize("nothing", NOTHING, ids=["empty", "null", "absent", "odd"])
CERTAIN = "id sid accountSid status direction"


def without(row: Row, *names: str, value: Any) -> Row:
    """The row with this value for these properties, or without them (...)."""
    rest = {name: kept for name, kept in row.items() if name not in names}
    return rest if value is ... else rest | dict.fromkeys(names, value)


def adding(twilio: PlainTwilio, *bad: Any) -> Callable[[httpx.Request], httpx.Response | None]:
    """Every list begins with these rows."""

    def fault(request: httpx.Request) -> httpx.Response | None:
        answer = twilio.answer(request)
        body = answer.json()
        for kind in ("calls", "recordings", "notifications"):
            if kind in body:
                body[kind] = [*bad, *body[kind]]
        return httpx.Response(answer.status_code, json=body)

    return fault


@EACH_NOTHING
async def test_what_a_call_always_has_cannot_fail(nothing: Any) -> None:
    odd = without(call(1), "status", "direction", "account_sid", value=nothing)
    twilio = PlainTwilio(calls=[odd, call(2, parent_call_sid=sid("CA", 1))])
    queries = {
        "list": f"{{ calls {{ nodes {{ {CERTAIN} }} }} }}",
        "single": f'{{ call(sid: "{sid("CA", 1)}") {{ {CERTAIN} }} }}',
        "node": f'{{ node(id: "{sid("CA", 1)}") {{ ... on Call {{ {CERTAIN} }} }} }}',
        "parent": f'{{ call(sid: "{sid("CA", 2)}") {{ parentCall {{ {CERTAIN} }} }} }}',
    }
    async with connect(twilio) as client:
        data = {name: await client.data(query) for name, query in queries.items()}

    right = {
        "id": sid("CA", 1),
        "sid": sid("CA", 1),
        "accountSid": ACCOUNT,
        "status": "UNKNOWN",
        "direction": "UNKNOWN",
    }
    first, second = data["list"]["calls"]["nodes"]
    assert [first, data["single"]["call"], data["node"]["node"]] == [right] * 3
    assert data["parent"]["call"]["parentCall"] == right
    assert (second["status"], second["direction"]) == ("COMPLETED", "INBOUND")


@EACH_NOTHING
async def test_what_a_recording_and_a_notification_always_have_cannot_fail(nothing: Any) -> None:
    twilio = PlainTwilio(
        calls=[call(1)],
        recordings=[without(recording(1, of=1), "account_sid", value=nothing)],
        notifications=[without(notification(1, of=1), "account_sid", value=nothing)],
    )
    fields = "{ nodes { id sid accountSid } }"
    async with connect(twilio) as client:
        data = await client.data(
            f"""{{
              call(sid: "{sid("CA", 1)}") {{ recordings {fields} notifications {fields} }}
              recording(sid: "{sid("RE", 1)}") {{ accountSid }}
              notification(sid: "{sid("NO", 1)}") {{ accountSid }}
            }}"""
        )

    recorded, logged = ({"id": s, "sid": s, "accountSid": ACCOUNT} for s in _sids())
    assert data["call"]["recordings"]["nodes"] == [recorded]
    assert data["call"]["notifications"]["nodes"] == [logged]
    assert data["recording"] == data["notification"] == {"accountSid": ACCOUNT}


def _sids() -> tuple[str, str]:
    return sid("RE", 1), sid("NO", 1)


@EACH_NOTHING
async def test_a_recordings_other_values_are_null_or_cost_their_field(nothing: Any) -> None:
    odd = without(recording(1, of=1), "status", "source", "duration", value=nothing)
    twilio = PlainTwilio(calls=[call(1)], recordings=[odd])
    async with connect(twilio) as client:
        answer = await client.answer(
            f'{{ call(sid: "{sid("CA", 1)}") {{ recordings {{ nodes '
            "{ sid status source duration channels } } } }"
        )

    assert answer["data"]["call"]["recordings"]["nodes"] == [
        {"sid": sid("RE", 1), "status": None, "source": None, "duration": None, "channels": 1}
    ]
    failed = {error["path"][-1] for error in answer.get("errors", ())}
    assert failed == ({"status", "source", "duration"} if nothing == {"a": 1} else set())


BAD: list[Any] = [5, None, [], {}, {"sid": None, "status": "busy"}, {"sid": "CA1"}]


@pytest.mark.parametrize("bad", BAD, ids=str)
async def test_what_is_no_row_costs_nobody_else(bad: Any) -> None:
    twilio = PlainTwilio(
        calls=[call(1), call(2)],
        recordings=[recording(1, of=1)],
        notifications=[notification(1, of=1)],
    )
    twilio.fault = adding(twilio, bad)
    edges = "recordings { nodes { sid } } notifications { nodes { sid } }"
    async with connect(twilio) as client:
        data = await client.data(
            f'{{ calls {{ nodes {{ sid }} }} call(sid: "{sid("CA", 1)}") {{ {edges} }} }}'
        )

    assert data["calls"]["nodes"] == [{"sid": sid("CA", 1)}, {"sid": sid("CA", 2)}]
    assert data["call"]["recordings"]["nodes"] == [{"sid": sid("RE", 1)}]
    assert data["call"]["notifications"]["nodes"] == [{"sid": sid("NO", 1)}]


async def test_a_single_call_without_a_readable_sid_costs_its_own_field() -> None:
    twilio = PlainTwilio(calls=[call(1), call(2)])
    bad = {"sid": None}
    twilio.fault = lambda request: (
        httpx.Response(200, json=bad) if sid("CA", 1) in request.url.path else None
    )
    async with connect(twilio, retry_budget_percent=0) as client:
        answer = await client.answer(
            f'{{ bad: call(sid: "{sid("CA", 1)}") {{ sid }} '
            f'good: call(sid: "{sid("CA", 2)}") {{ sid }} }}'
        )

    assert answer["data"] == {"bad": None, "good": {"sid": sid("CA", 2)}}
    assert [error["path"] for error in answer["errors"]] == [["bad"]]
    assert answer["errors"][0]["extensions"] == {"code": "UPSTREAM_INVALID"}


@EACH_NOTHING
async def test_a_row_of_a_filtered_list_is_left_to_upstreams_word_where_it_says_nothing(
    nothing: Any,
) -> None:
    """The list is that of Status=busy; a row with another status does not belong to it."""
    twilio = PlainTwilio(calls=[call(1), call(2, status="busy"), call(3, status="paused")])

    def fault(request: httpx.Request) -> httpx.Response | None:
        silent = without(call(1), "status", value=nothing)
        rows = [silent, *twilio.calls[1:]]
        return httpx.Response(200, json={"calls": rows})

    twilio.fault = fault
    async with connect(twilio) as client:
        data = await client.data("{ calls(filter: {status: [BUSY]}) { nodes { sid status } } }")

    assert data["calls"]["nodes"] == [
        {"sid": sid("CA", 1), "status": "UNKNOWN"},
        {"sid": sid("CA", 2), "status": "BUSY"},
    ]


@EACH_NOTHING
async def test_what_a_row_does_not_say_is_not_answered_from_what_was_read(nothing: Any) -> None:
    """The children are known, but not which of them is busy: this costs a request."""
    child = call(2, at=5, parent_call_sid=sid("CA", 1), status="busy")
    twilio = PlainTwilio(calls=[child, call(1, at=0), call(3, at=-5)])

    def fault(request: httpx.Request) -> httpx.Response | None:
        body = twilio.answer(request).json()
        body["calls"] = [
            without(row, "status", value=nothing) if row["sid"] == child["sid"] else row
            for row in body["calls"]
        ]
        return httpx.Response(200, json=body)

    twilio.fault = fault
    edge = "childCalls(filter: {status: %s}) { nodes { sid } }"
    query = f"{{ calls {{ nodes {{ sid busy: {edge % 'BUSY'} failed: {edge % 'FAILED'} }} }} }}"
    async with connect(twilio) as client:
        data = await client.data(query)

    parent = data["calls"]["nodes"][1]
    assert parent["busy"]["nodes"] == [{"sid": child["sid"]}]
    assert parent["failed"]["nodes"] == []
    of_parent = f"GET Calls?Status=%s&ParentCallSid={sid('CA', 1)}&PageSize=51"
    asked = twilio.asked()
    assert of_parent % "busy" in asked
    assert of_parent % "failed" in asked


async def test_a_call_that_is_ended_is_answered_whatever_its_row_lacks() -> None:
    """The change has happened: a missing property does not make its outcome unknown."""
    twilio = PlainTwilio(calls=[call(1, status="in-progress")])
    twilio.fault = lambda request: (
        httpx.Response(200, json={"sid": LIVE}) if request.method == "POST" else None
    )
    async with connect(twilio) as client:
        data = await client.data(END, input={"sid": LIVE})

    assert data["endCall"] == {"call": {"sid": LIVE, "status": "UNKNOWN"}, "userErrors": []}
