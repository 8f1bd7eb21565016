"""makeCall, redirectCall, endCall: the requests, the results, their order."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from gateway.server import OperationOptions
from gateway.settings import Secret
from gateway.telemetry.upstream_trace import Explain
from tests.live.stage import event
from tests.plain_twilio import call, error, sid
from tests.schema.mutations import (
    APPLICATION,
    END,
    FROM,
    LIVE,
    MAKE,
    REDIRECT,
    TO,
    gateway,
    making,
    refused,
)


async def test_make_call_posts_the_form_and_answers_the_call() -> None:
    async with gateway() as (twilio, client):
        data = await client.data(MAKE, input=making())

        assert data["makeCall"] == {
            "call": {
                "sid": twilio.calls[0]["sid"], "to": TO, "from": FROM,
                "status": "QUEUED", "direction": "OUTBOUND_API",
            },
            "userErrors": [],
        }  # fmt: skip
        assert twilio.asked() == [f"POST Calls To={TO}&From={FROM}&Twiml=<Response/>"]


EVERYTHING = {
    "instructions": {"url": "https://example.com/twiml?a=1&b=2"},
    "method": "GET",
    "fallbackUrl": "http://example.com/fallback",
    "fallbackMethod": "POST",
    "statusCallback": "https://example.com:8443/status",
    "statusCallbackEvent": ["COMPLETED", "RINGING", "COMPLETED"],
    "statusCallbackMethod": "GET",
    "sendDigits": "ww12#",
    "timeout": 600,
    "timeLimit": 86400,
    "record": True,
    "recordingChannels": "DUAL",
    "recordingTrack": "BOTH",
    "trim": "DO_NOT_TRIM",
    "recordingStatusCallback": "https://example.com/recording",
    "recordingStatusCallbackEvent": ["IN_PROGRESS", "ABSENT"],
    "recordingStatusCallbackMethod": "POST",
    "callerId": "+14155550199",
    "callReason": "Your appointment",
    "callToken": "token",
    "byoc": sid("BY", 1),
    "sipAuthUsername": "desk",
    "sipAuthPassword": "open sesame".replace(" ", "-"),
    "clientNotificationUrl": "https://example.com/client",
}
DETECTION = {
    "machineDetection": "DETECT_MESSAGE_END",
    "machineDetectionTimeout": 59,
    "machineDetectionSpeechThreshold": 1000,
    "machineDetectionSpeechEndThreshold": 5000,
    "machineDetectionSilenceTimeout": 2000,
    "asyncAmd": True,
    "asyncAmdStatusCallback": "https://example.com/amd",
    "asyncAmdStatusCallbackMethod": "GET",
}


async def test_every_parameter_goes_out_under_twilios_name() -> None:
    """docs/twilio.md#8-making-and-modifying-a-call; an event that is given twice goes out once."""
    async with gateway(public_url="https://gateway.example.com") as (twilio, client):
        await client.data(MAKE, input=making(**EVERYTHING))
        await client.data(MAKE, input=making(**DETECTION, statusCallback="http://h/s"))

        assert twilio.requests == [
            f"POST Calls To={TO}&From={FROM}&Url=https://example.com/twiml?a=1&b=2&Method=GET"
            "&FallbackUrl=http://example.com/fallback&FallbackMethod=POST"
            "&StatusCallback=https://example.com:8443/status"
            "&StatusCallbackEvent=completed&StatusCallbackEvent=ringing&StatusCallbackMethod=GET"
            "&SendDigits=ww12#&Timeout=600&TimeLimit=86400&Record=true&RecordingChannels=dual"
            "&RecordingTrack=both&Trim=do-not-trim"
            "&RecordingStatusCallback=https://example.com/recording"
            "&RecordingStatusCallbackEvent=in-progress&RecordingStatusCallbackEvent=absent"
            "&RecordingStatusCallbackMethod=POST&CallerId=+14155550199"
            f"&CallReason=Your appointment&CallToken=token&Byoc={sid('BY', 1)}"
            "&SipAuthUsername=desk&SipAuthPassword=open-sesame"
            "&ClientNotificationUrl=https://example.com/client",
            f"POST Calls To={TO}&From={FROM}&Twiml=<Response/>&StatusCallback=http://h/s"
            "&MachineDetection=DetectMessageEnd&MachineDetectionTimeout=59"
            "&MachineDetectionSpeechThreshold=1000&MachineDetectionSpeechEndThreshold=5000"
            "&MachineDetectionSilenceTimeout=2000&AsyncAmd=true"
            "&AsyncAmdStatusCallback=https://example.com/amd&AsyncAmdStatusCallbackMethod=GET",
        ]


OWN = (
    "&StatusCallback=https://gw.example.com/webhooks/twilio/status"
    "&StatusCallbackEvent=initiated&StatusCallbackEvent=ringing"
    "&StatusCallbackEvent=answered&StatusCallbackEvent=completed"
)
OWN_RECORDING = (
    "&RecordingStatusCallback=https://gw.example.com/webhooks/twilio/recording"
    "&RecordingStatusCallbackEvent=in-progress&RecordingStatusCallbackEvent=completed"
    "&RecordingStatusCallbackEvent=absent"
)


@pytest.mark.parametrize(
    ("given", "form"),
    [
        ({}, "Twiml=<Response/>" + OWN),
        ({"record": True}, "Twiml=<Response/>&Record=true" + OWN + OWN_RECORDING),
        ({"record": False}, "Twiml=<Response/>&Record=false" + OWN),
        (
            {"statusCallback": "https://mine.example"},
            "Twiml=<Response/>&StatusCallback=https://mine.example",
        ),
        ({"instructions": {"applicationSid": APPLICATION}}, f"ApplicationSid={APPLICATION}"),
    ],
    ids=["all events", "recording", "no recording", "the caller's own", "the application's"],
)
async def test_the_gateways_own_callback_is_added_where_the_caller_gave_none(
    given: dict[str, Any], form: str
) -> None:
    async with gateway(public_url="https://gw.example.com") as (twilio, client):
        await client.data(MAKE, input=making(**given))

        assert twilio.asked() == [f"POST Calls To={TO}&From={FROM}&{form}"]


async def test_no_callback_is_asked_for_that_could_not_be_checked() -> None:
    """With an API key and no auth token every webhook would be refused, and Twilio logs that."""
    key: dict[str, Any] = {
        "auth_token": None,
        "api_key": "SK" + "c" * 32,
        "api_secret": Secret("s"),
    }
    async with gateway(public_url="https://gw.example.com", **key) as (twilio, client):
        await client.data(MAKE, input=making())

        assert twilio.asked() == [f"POST Calls To={TO}&From={FROM}&Twiml=<Response/>"]


async def test_redirect_call_posts_new_instructions() -> None:
    async with gateway() as (twilio, client):
        instructions = {"url": "https://example.com/next"}
        given = {
            "sid": LIVE, "instructions": instructions, "method": "GET", "timeLimit": 60,
            "fallbackUrl": "https://example.com/f", "statusCallback": "https://example.com/s",
        }  # fmt: skip
        data = await client.data(REDIRECT, input=given)
        await client.data(REDIRECT, input={"sid": LIVE, "instructions": {"twiml": "<Response/>"}})

        assert data["redirectCall"] == {
            "call": {"sid": LIVE, "status": "IN_PROGRESS"}, "userErrors": [],
        }  # fmt: skip
        assert twilio.requests == [
            f"POST Calls/{LIVE} Url=https://example.com/next&Method=GET"
            "&FallbackUrl=https://example.com/f&StatusCallback=https://example.com/s&TimeLimit=60",
            f"POST Calls/{LIVE} Twiml=<Response/>",
        ]


@pytest.mark.parametrize(
    ("mode", "status"),
    [(None, "completed"), ("HANG_UP", "completed"), ("CANCEL_UNANSWERED", "canceled")],
)
async def test_end_call_posts_the_status(mode: str | None, status: str) -> None:
    async with gateway() as (twilio, client):
        data = await client.data(END, input={"sid": LIVE} | ({"mode": mode} if mode else {}))

        assert data["endCall"]["call"] == {"sid": LIVE, "status": status.upper()}
        assert twilio.asked() == [f"POST Calls/{LIVE} Status={status}"]


@pytest.mark.parametrize(
    ("number", "field", "code"),
    [
        (21201, "to", "INVALID_INPUT"),
        (21205, "instructions.url", "INVALID_INPUT"),
        (21210, "from", "NOT_VERIFIED"),
        (21211, "to", "INVALID_NUMBER"),
        (21212, "from", "INVALID_NUMBER"),
        (21214, "to", "NOT_REACHABLE"),
        (21215, "to", "NOT_PERMITTED"),
        (21216, "to", "NOT_PERMITTED"),
        (21217, "to", "INVALID_NUMBER"),
        (21219, "to", "NOT_VERIFIED"),
        (21999, "", "REJECTED"),
    ],
)
async def test_what_twilio_refuses_is_a_user_error_with_its_numbers(
    number: int, field: str, code: str
) -> None:
    async with gateway() as (twilio, client):
        twilio.fault = lambda _: error(400, number)
        data = await client.data(MAKE, input=making())

        (problem,) = data["makeCall"]["userErrors"]
        assert problem["field"] == (["input", *field.split(".")] if field else None)
        assert (problem["code"], problem["twilioCode"]) == (code, number)
        assert problem["moreInfo"] == f"https://www.twilio.com/docs/errors/{number}"
        assert "made up" not in problem["message"]  # what upstream wrote is never passed on
        assert "Twilio" not in problem["message"]  # it may have been the sandbox
        assert len(twilio.requests) == 1


async def test_a_call_that_is_not_there_or_not_in_progress_is_a_user_error() -> None:
    async with gateway() as (twilio, client):
        gone = {"sid": sid("CA", 77)}
        assert await refused(client, END, gone) == [("input.sid", "NOT_FOUND", 20404)]
        twilio.fault = lambda _: error(400, 21220)
        instructions = {"url": "https://h"}
        errors = await refused(client, REDIRECT, {"sid": LIVE, "instructions": instructions})
        assert errors == [("input.sid", "CALL_NOT_IN_PROGRESS", 21220)]


ENDED = sid("CA", 2)
CHANGES = [
    (END, {"sid": ENDED}),
    (END, {"sid": ENDED, "mode": "CANCEL_UNANSWERED"}),
    (REDIRECT, {"sid": ENDED, "instructions": {"url": "https://h"}}),
]

WAYS = ["hang up", "cancel", "redirect"]


def _denies(request: httpx.Request) -> httpx.Response | None:
    """Twilio returns 404 to a change of a call that has just ended.

    See docs/twilio.md#12-reports-of-people-who-use-the-api.
    """
    return error(404, 20404) if request.method == "POST" else None


@pytest.mark.parametrize(("mutation", "given"), CHANGES, ids=WAYS)
@pytest.mark.parametrize("status", ["completed", "canceled", "in-progress", "on-hold"])
async def test_after_a_404_the_call_is_read_before_an_error_is_reported(
    mutation: str, given: dict[str, Any], status: str
) -> None:
    async with gateway() as (twilio, client):
        twilio.calls.append(call(2, status=status))
        twilio.fault = _denies
        (payload,) = (await client.data(mutation, input=given)).values()

        assert payload == {
            "call": None,
            "userErrors": [{
                "field": ["input", "sid"], "message": "The call is not in progress",
                "code": "CALL_NOT_IN_PROGRESS", "twilioCode": 20404,
                "moreInfo": "https://www.twilio.com/docs/errors/20404",
            }],
        }  # fmt: skip
        assert [request.split(" ")[:2] for request in twilio.requests] == [
            ["POST", f"Calls/{ENDED}"], ["GET", f"Calls/{ENDED}"],
        ]  # fmt: skip


@pytest.mark.parametrize(("mutation", "given"), CHANGES, ids=WAYS)
async def test_a_call_that_upstream_denies_twice_is_none(
    mutation: str, given: dict[str, Any]
) -> None:
    async with gateway() as (twilio, client):
        (payload,) = (await client.data(mutation, input=given)).values()

        (problem,) = payload["userErrors"]
        assert (problem["code"], problem["twilioCode"]) == ("NOT_FOUND", 20404)
        assert problem["message"] == "There is no call with this SID"
        assert len(twilio.requests) == 2


@pytest.mark.parametrize("key", [None, "k"])
async def test_a_denied_call_that_cannot_be_looked_for_is_neither(key: str | None) -> None:
    """The next attempt, with the same key too, gets the right user error."""
    given = {"sid": ENDED, "idempotencyKey": key}
    async with gateway(max_attempts=1) as (twilio, client):
        twilio.calls.append(call(2))
        twilio.fault = lambda request: _denies(request) or httpx.Response(503)
        problem = await client.error(END, input=given)
        twilio.fault = _denies
        errors = await refused(client, END, given)

        assert problem["extensions"]["code"] == "UPSTREAM_UNAVAILABLE"
        assert errors == [("input.sid", "CALL_NOT_IN_PROGRESS", 20404)]


@pytest.mark.parametrize(("mutation", "given"), CHANGES, ids=WAYS)
async def test_a_call_that_upstream_does_not_show_yet_is_not_denied(
    mutation: str, given: dict[str, Any]
) -> None:
    """It was placed, or had an event, within the lag: it is live, so the caller has to retry."""
    keyed = given | {"idempotencyKey": "k"}
    async with gateway() as (twilio, client):
        await client.gateway.own.store.publish(event("ringing", 1, of=ENDED, at=datetime.now(UTC)))
        problem = await client.error(mutation, input=keyed)
        twilio.calls.append(call(2, status="ringing"))
        again = await client.data(mutation, input=keyed)

        assert problem["extensions"]["code"] == "UPSTREAM_NOT_FOUND"
        assert problem["extensions"]["retryAfter"] > 0
        (payload,) = again.values()
        assert (payload["call"]["sid"], payload["userErrors"]) == (ENDED, [])


async def test_a_call_that_was_heard_to_end_is_not_denied_either() -> None:
    async with gateway() as (_, client):
        ended = event("completed", 3, of=ENDED, at=datetime.now(UTC))
        await client.gateway.own.store.publish(ended)
        errors = await refused(client, END, {"sid": ENDED})

        assert errors == [("input.sid", "CALL_NOT_IN_PROGRESS", 20404)]


async def test_a_404_where_a_call_is_to_be_made_is_no_fault_of_the_callers() -> None:
    """Its input has no SID that could be wrong."""
    async with gateway() as (twilio, client):
        twilio.fault = _denies
        problem = await client.error(MAKE, input=making())

        assert problem["extensions"]["code"] == "UPSTREAM_NOT_FOUND"
        assert len(twilio.requests) == 1


@pytest.mark.parametrize("status", [401, 403])
async def test_a_credential_that_is_refused_is_an_error_not_the_callers(status: int) -> None:
    async with gateway() as (twilio, client):
        twilio.fault = lambda _: error(status, 20003)
        problem = await client.error(MAKE, input=making())

        assert problem["extensions"]["code"] == "UPSTREAM_AUTH"


async def test_mutations_of_one_operation_run_in_order_each_after_the_last() -> None:
    """The GraphQL specification, section 6.2.2. Mutations do not overlap."""
    async with gateway() as (twilio, client):
        twilio.delay = 0.02
        most = 0

        def count(_: httpx.Request) -> None:
            nonlocal most
            most = max(most, twilio.in_flight)

        twilio.fault = count
        await client.data(
            f"""mutation {{
                a: endCall(input: {{sid: "{LIVE}"}}) {{
                    call {{ childCalls {{ nodes {{ sid }} }} }} }}
                b: makeCall(input: {{to: "{TO}", from: "{FROM}", instructions: {{twiml: "1"}}}}) {{
                    call {{ sid }} }}
                c: makeCall(input: {{to: "{TO}", from: "{FROM}", instructions: {{twiml: "2"}}}}) {{
                    call {{ sid }} }} }}"""
        )

        assert [request.split("?")[0] for request in twilio.requests] == [
            f"POST Calls/{LIVE} Status=completed",
            "GET Calls",
            f"POST Calls To={TO}&From={FROM}&Twiml=1",
            f"POST Calls To={TO}&From={FROM}&Twiml=2",
        ]
        assert most == 1


async def test_a_mutation_that_broke_leaves_the_outcome_of_the_one_before() -> None:
    """That call has been placed: its SID must reach the caller."""
    async with gateway() as (twilio, client):
        twilio.fault = _refuse_ends
        answer = await client.answer(
            f"""mutation {{
                a: makeCall(input: {{to: "{TO}", from: "{FROM}", instructions: {{twiml: "1"}}}}) {{
                    call {{ sid }} }}
                b: endCall(input: {{sid: "{LIVE}"}}) {{ call {{ sid }} }} }}"""
        )

        assert answer["data"]["a"]["call"]["sid"] == twilio.calls[0]["sid"]
        assert answer["data"]["b"] is None
        assert answer["errors"][0]["path"] == ["b"]


def _refuse_ends(request: httpx.Request) -> httpx.Response | None:
    return error(401, 20003) if b"Status" in request.content else None


async def test_what_was_read_before_a_mutation_is_not_taken_for_known_after_it() -> None:
    """Children that the first mutation's payload listed are listed again by the second's."""
    async with gateway() as (twilio, client):
        edges = "call { status parentCall { sid } childCalls { nodes { sid } } }"
        data = await client.data(
            f"""mutation {{
                a: redirectCall(input: {{sid: "{LIVE}", instructions: {{twiml: "1"}}}})
                    {{ {edges} }}
                b: endCall(input: {{sid: "{LIVE}"}}) {{ {edges} }}
                c: endCall(input: {{sid: "{LIVE}", mode: CANCEL_UNANSWERED}})
                    {{ call {{ status }} }}
            }}"""
        )

        assert [data[name]["call"]["status"] for name in "abc"] == [
            "IN_PROGRESS", "COMPLETED", "CANCELED",
        ]  # fmt: skip
        children = f"GET Calls?ParentCallSid={LIVE}&PageSize=51"
        assert twilio.requests.count(children) == 2


async def test_the_changed_row_is_known() -> None:
    """A child's parent is the call that was just ended: it is not requested again."""
    async with gateway() as (twilio, client):
        twilio.calls.append(call(2, parent_call_sid=LIVE))
        data = await client.data(
            f"""mutation {{ endCall(input: {{sid: "{LIVE}"}}) {{
                call {{ childCalls {{ nodes {{ parentCall {{ status }} }} }} }} }} }}"""
        )

        parent = {"parentCall": {"status": "COMPLETED"}}
        assert data["endCall"]["call"]["childCalls"]["nodes"] == [parent]
        assert twilio.asked() == [
            f"GET Calls?ParentCallSid={LIVE}&PageSize=51", f"POST Calls/{LIVE} Status=completed",
        ]  # fmt: skip


async def test_a_dry_run_sends_nothing() -> None:
    async with gateway() as (twilio, client):
        terms = OperationOptions(explain=Explain.PLAN)
        answer = await client.gateway.execute_as_operator(MAKE, {"input": making()}, None, terms)

        assert twilio.asked() == []
        assert answer["errors"][0]["extensions"]["code"] == "DRY_RUN"
        (exchange,) = answer["extensions"]["upstream"]["exchanges"]
        assert (exchange["path"], exchange["way"], exchange["query"]) == ("Calls", "mutation", "")


async def test_an_explanation_shows_the_request_and_not_its_form() -> None:
    async with gateway() as (_, client):
        terms = OperationOptions(explain=Explain.REQUESTS)
        given = making(sipAuthUsername="desk", sipAuthPassword="hunter2")
        answer = await client.gateway.execute_as_operator(MAKE, {"input": given}, None, terms)

        (exchange,) = answer["extensions"]["upstream"]["exchanges"]
        assert (exchange["fields"], exchange["status"]) == (["makeCall"], "ok")
        assert "hunter2" not in str(answer["extensions"])


async def test_subscribers_hear_of_a_mutation() -> None:
    async with gateway() as (_, client):
        with client.gateway.own.store.subscribe() as news:
            data = await client.data(MAKE, input=making())
            state = await anext(news)

        assert state.call_sid == data["makeCall"]["call"]["sid"]
        assert (state.status.value, state.source.value) == ("queued", "mutation")
        assert (state.fact("to"), state.fact("from")) == (TO, FROM)


async def test_a_request_budget_holds_for_mutations_too() -> None:
    async with gateway(request_budget=1) as (twilio, client):
        answer = await client.answer(
            f"""mutation {{ a: endCall(input: {{sid: "{LIVE}"}}) {{ call {{ sid }} }}
                b: endCall(input: {{sid: "{LIVE}"}}) {{ call {{ sid }} }} }}"""
        )

        assert answer["data"] == {"a": {"call": {"sid": LIVE}}, "b": None}
        assert answer["errors"][0]["extensions"]["code"] == "BUDGET_EXCEEDED"
        assert len(twilio.requests) == 1
