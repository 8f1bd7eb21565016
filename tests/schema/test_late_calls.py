"""A call that upstream does not show yet: every field that reads it by its SID returns it."""

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from gateway.access import ANONYMOUS
from gateway.live.snapshots import READ_LAG
from gateway.server.results import response_map
from tests.conftest import Client, connect
from tests.live.stage import event
from tests.plain_twilio import ACCOUNT, PlainTwilio, call, error, notification, recording, sid
from tests.schema.mutations import FROM, MAKE, TO, making

CALL = sid("CA", 1)
READ = f"GET Calls/{CALL}"
EVERYTHING = """sid accountSid status direction to from dateCreated startTime duration
    answeredBy parentCallSid toEndpoint { __typename }"""
BY_SID = f"""query($sid: ID!, $in: [_Any!]!) {{
    call(sid: $sid) {{ {EVERYTHING} }}
    node(id: $sid) {{ ... on Call {{ {EVERYTHING} }} }}
    nodes(ids: [$sid]) {{ ... on Call {{ {EVERYTHING} }} }}
    _entities(representations: $in) {{ ... on Call {{ {EVERYTHING} }} }} }}"""


def hides(call_sid: str) -> Any:
    """Upstream returns 404 for this call."""
    return lambda request: (
        error(404, 20404)
        if request.method == "GET" and request.url.path.endswith(f"Calls/{call_sid}.json")
        else None
    )


async def publish_event(client: Client, status: str, ago: float = 0.0, **facts: Any) -> None:
    """An event of the call, `ago` seconds old."""
    at = datetime.now(UTC) - timedelta(seconds=ago)
    await client.gateway.own.store.publish(event(status, 1, at=at, **facts))


async def by_sid(client: Client, call_sid: str = CALL) -> list[Any]:
    """The results of every root field that reads a call by its SID."""
    given = [{"__typename": "Call", "sid": call_sid}]
    data = await client.data(BY_SID, sid=call_sid, **{"in": given})
    return [data["call"], data["node"], *data["nodes"], *data["_entities"]]


async def test_a_call_that_was_just_placed_is_found_by_every_field() -> None:
    twilio = PlainTwilio()
    async with connect(twilio) as client:
        made = (await client.data(MAKE, input=making()))["makeCall"]["call"]["sid"]
        twilio.fault = hides(made)
        twilio.asked()
        answers = await by_sid(client, made)

        assert answers == [{
            "sid": made, "accountSid": ACCOUNT, "status": "QUEUED", "direction": "OUTBOUND_API",
            "to": TO, "from": FROM, "dateCreated": None, "startTime": None, "duration": None,
            "answeredBy": None, "parentCallSid": None, "toEndpoint": {"__typename": "PhoneNumber"},
        }] * 4  # fmt: skip
        assert twilio.asked() == [f"GET Calls/{made}"]


async def test_a_call_that_was_made_is_queued_at_least_though_its_answer_has_no_status() -> None:
    made = {key: value for key, value in call(1).items() if key != "status"}
    twilio = PlainTwilio(
        fault=lambda request: (
            httpx.Response(201, json=made) if request.method == "POST" else error(404, 20404)
        )
    )
    document = """mutation($input: MakeCallInput!) { makeCall(input: $input) { call { sid } } }"""
    async with connect(twilio) as client:
        await client.data(document, input=making())
        answers = await by_sid(client)

        assert [row["status"] for row in answers] == ["QUEUED"] * 4


async def test_what_nobody_said_of_a_call_is_unknown_or_null() -> None:
    async with connect(PlainTwilio()) as client:
        await publish_event(client, "ringing")
        answers = await by_sid(client)

        nothing = dict.fromkeys(
            ("to", "from", "dateCreated", "startTime", "duration", "answeredBy", "parentCallSid",
             "toEndpoint")
        )  # fmt: skip
        assert (
            answers
            == [
                {"sid": CALL, "accountSid": ACCOUNT, "status": "RINGING", "direction": "UNKNOWN"}
                | nothing
            ]
            * 4
        )


async def test_what_was_told_late_is_not_kept_once_upstream_shows_the_call() -> None:
    twilio = PlainTwilio()
    async with connect(twilio) as client:
        await publish_event(client, "ringing")
        late = await by_sid(client)
        twilio.calls.append(call(1, status="in-progress"))
        shown = await by_sid(client)

        assert [row["status"] for row in late] == ["RINGING"] * 4
        assert [row["status"] for row in shown] == ["IN_PROGRESS"] * 4
        assert twilio.asked() == [READ] * 2


@pytest.mark.parametrize("ago", [READ_LAG + 1, 3600, -READ_LAG - 5])
async def test_after_the_lag_a_404_is_a_404(ago: float) -> None:
    """Also where another gateway's clock is ahead by more than that."""
    async with connect(PlainTwilio()) as client:
        await publish_event(client, "ringing", ago)

        assert await by_sid(client) == [None] * 4


async def test_a_call_that_nobody_heard_of_is_null() -> None:
    async with connect(PlainTwilio()) as client:
        await publish_event(client, "ringing")

        assert await by_sid(client, sid("CA", 2)) == [None] * 4


async def test_upstream_in_trouble_is_an_error_and_no_lag() -> None:
    twilio = PlainTwilio(fault=lambda _: httpx.Response(503))
    async with connect(twilio, max_attempts=1) as client:
        await publish_event(client, "ringing")
        problem = await client.error("query($sid: ID!) { call(sid: $sid) { sid } }", sid=CALL)

        assert problem["extensions"]["code"] == "UPSTREAM_UNAVAILABLE"


async def test_edges_lead_to_a_call_that_is_late() -> None:
    """To the parent of a leg, and to the call of a recording or of a notification."""
    twilio = PlainTwilio(
        calls=[call(2, parent_call_sid=CALL)],
        recordings=[recording(1, 1)],
        notifications=[notification(1, 1)],
    )
    async with connect(twilio) as client:
        await publish_event(client, "in-progress")
        data = await client.data(
            """query($leg: ID!, $recording: ID!, $notification: ID!) {
                call(sid: $leg) { parentCall { sid status } }
                recording(sid: $recording) { call { sid status } }
                notification(sid: $notification) { call { sid status } } }""",
            leg=sid("CA", 2), recording=sid("RE", 1), notification=sid("NO", 1),
        )  # fmt: skip

        known = {"sid": CALL, "status": "IN_PROGRESS"}
        assert data["call"] == {"parentCall": known}
        assert data["recording"] == data["notification"] == {"call": known}


async def test_a_repeat_under_a_key_answers_the_call_that_is_late() -> None:
    twilio = PlainTwilio()
    async with connect(twilio) as client:
        first = await client.data(MAKE, input=making(idempotencyKey="k"))
        twilio.fault = hides(first["makeCall"]["call"]["sid"])
        again = await client.data(MAKE, input=making(idempotencyKey="k"))

        assert again == first
        assert len([request for request in twilio.requests if "POST" in request]) == 1


async def test_a_subscription_begins_with_what_is_known_of_a_late_call() -> None:
    """And with its edges: an edge that upstream does not show fails its own field only."""
    async with connect(PlainTwilio()) as client:
        await publish_event(client, "ringing", to=TO)
        document = f"""subscription {{ callUpdated(sid: "{CALL}") {{
            source call {{ status direction to recordings {{ nodes {{ sid }} }} }} }} }}"""
        async with aclosing(client.gateway.stream(document, caller=ANONYMOUS)) as results:
            answer = response_map(await anext(results))

        assert "errors" not in answer
        assert answer["data"]["callUpdated"] == {
            "source": "CURRENT",
            "call": {
                "status": "RINGING", "direction": "UNKNOWN", "to": TO, "recordings": {"nodes": []},
            },
        }  # fmt: skip
