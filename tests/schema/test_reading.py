"""Lenient reading, open enums, endpoints; and an error fails its own field only."""

import logging
from typing import Any

import httpx
import pytest

from gateway.settings import PlannerMode
from tests.conftest import connect
from tests.plain_twilio import PlainTwilio, call, error, recording, sid

ONE = sid("CA", 1)


async def test_all_properties_of_the_seed_are_answered() -> None:
    row = call(
        1,
        parent_call_sid=sid("CA", 2),
        answered_by="human",
        forwarded_from="+16175550199",
        caller_name="Ada",
    )
    async with connect(PlainTwilio(calls=[row])) as client:
        data = await client.data(
            f"""{{ call(sid: "{ONE}") {{ id sid parentCallSid dateCreated dateUpdated accountSid to
            from phoneNumberSid status startTime endTime duration price priceUnit direction
            answeredBy forwardedFrom callerName uri }} }}"""
        )

    assert data["call"] == {
        "id": ONE,
        "sid": ONE,
        "parentCallSid": sid("CA", 2),
        "dateCreated": "2026-03-10T12:00:00Z",
        "dateUpdated": "2026-03-10T12:01:00Z",
        "accountSid": row["account_sid"],
        "to": "+18005550100",
        "from": "+16175550101",
        "phoneNumberSid": sid("PN", 1),
        "status": "COMPLETED",
        "startTime": "2026-03-10T12:00:00Z",
        "endTime": "2026-03-10T12:01:00Z",
        "duration": 60,
        "price": "-0.00850",
        "priceUnit": "USD",
        "direction": "INBOUND",
        "answeredBy": "HUMAN",
        "forwardedFrom": "+16175550199",
        "callerName": "Ada",
        "uri": row["uri"],
    }


@pytest.mark.parametrize("nothing", ["", None, ...], ids=["empty", "null", "absent"])
@pytest.mark.parametrize("name", ["start_time", "duration", "price", "to", "answered_by"])
async def test_empty_null_and_absent_are_null(name: str, nothing: Any) -> None:
    row = call(1)
    row[name] = nothing
    if nothing is ...:
        del row[name]
    field = {"start_time": "startTime", "answered_by": "answeredBy"}.get(name, name)
    async with connect(PlainTwilio(calls=[row])) as client:
        data = await client.data(f'{{ call(sid: "{ONE}") {{ {field} }} }}')

    assert data == {"call": {field: None}}


@pytest.mark.parametrize(
    ("name", "field", "bad"),
    [
        ("start_time", "startTime", "yesterday"),
        ("start_time", "startTime", 7),
        ("duration", "duration", "1.5"),
        ("duration", "duration", True),
        ("price", "price", "free"),
        ("price", "price", "NaN"),
        ("to", "to", {"number": 1}),
        ("answered_by", "answeredBy", 3),
    ],
)
async def test_a_bad_value_costs_its_own_field_and_not_the_row(
    name: str, field: str, bad: Any
) -> None:
    rows = [call(1, **{name: bad}), call(2)]
    async with connect(PlainTwilio(calls=rows)) as client:
        answer = await client.answer(f"{{ calls(first: 2) {{ nodes {{ sid {field} }} }} }}")

    assert answer["data"]["calls"]["nodes"][0] == {"sid": ONE, field: None}
    assert answer["data"]["calls"]["nodes"][1]["sid"] == sid("CA", 2)
    assert [e["path"] for e in answer["errors"]] == [["calls", "nodes", 0, field]]
    assert answer["errors"][0]["extensions"] == {"code": "UPSTREAM_INVALID"}


async def test_a_new_enum_value_is_unknown_with_a_log_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    row = call(1, status="levitating", direction="sideways\nforged line")
    with caplog.at_level(logging.WARNING):
        async with connect(PlainTwilio(calls=[row])) as client:
            data = await client.data(f'{{ call(sid: "{ONE}") {{ status direction }} }}')

    assert data == {"call": {"status": "UNKNOWN", "direction": "UNKNOWN"}}
    assert "'levitating'" in caplog.text
    assert "\nforged line" not in caplog.text


@pytest.mark.parametrize(
    ("value", "endpoint"),
    [
        ("+16175550101", {"__typename": "PhoneNumber", "number": "+16175550101"}),
        ("client:tommy", {"__typename": "ClientIdentifier", "name": "tommy"}),
        ("sip:a@example.com", {"__typename": "SipAddress", "address": "sip:a@example.com"}),
        ("name@company.com", {"__typename": "SipAddress", "address": "name@company.com"}),
        ("sim:DE1", {"__typename": "OtherEndpoint", "value": "sim:DE1"}),
        ("7378742833", {"__typename": "OtherEndpoint", "value": "7378742833"}),
        (None, None),
    ],
)
async def test_an_endpoint_says_what_to_and_from_are(value: str | None, endpoint: Any) -> None:
    fields = """{ __typename ... on PhoneNumber { number } ... on SipAddress { address }
        ... on ClientIdentifier { name } ... on OtherEndpoint { value } }"""
    row = call(1) | {"to": value, "from": value}
    async with connect(PlainTwilio(calls=[row])) as client:
        data = await client.data(
            f'{{ call(sid: "{ONE}") {{ toEndpoint {fields} fromEndpoint {fields} }} }}'
        )

    assert data == {"call": {"toEndpoint": endpoint, "fromEndpoint": endpoint}}


async def test_a_failed_edge_is_null_with_twilios_numbers_and_the_call_stays() -> None:
    twilio = PlainTwilio(calls=[call(1), call(2)], recordings=[recording(1, of=2)])

    def no_recordings_of_one(request: httpx.Request) -> httpx.Response | None:
        return error(429, 20429) if f"{ONE}/Recordings" in request.url.path else None

    twilio.fault = no_recordings_of_one
    async with connect(twilio, planner=PlannerMode.PER_KEY) as client:
        answer = await client.answer(
            "{ calls(first: 2) { nodes { sid recordings { nodes { sid } } } } }"
        )

    assert answer["data"]["calls"]["nodes"] == [
        {"sid": ONE, "recordings": None},
        {"sid": sid("CA", 2), "recordings": {"nodes": [{"sid": sid("RE", 1)}]}},
    ]
    assert answer["errors"] == [
        {
            "message": "Upstream answered 429: too many requests at once",
            "locations": answer["errors"][0]["locations"],
            "path": ["calls", "nodes", 0, "recordings"],
            "extensions": {
                "code": "UPSTREAM_RATE_LIMITED",
                "twilioCode": 20429,
                "httpStatus": 429,
                "moreInfo": "https://www.twilio.com/docs/errors/20429",
                "requestId": "RQ" + "0" * 32,
                "retryAfter": 1.0,
            },
        }
    ]


async def test_an_error_of_our_own_making_is_masked_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(_request: httpx.Request) -> None:
        raise ZeroDivisionError("secret detail")

    async with connect(PlainTwilio(fault=broken)) as client:
        masked = await client.error(f'{{ call(sid: "{ONE}") {{ sid }} }}')

    assert masked["message"] == "Internal error"
    assert masked["extensions"] == {"code": "INTERNAL_ERROR"}
    assert "secret detail" in caplog.text
