"""A mutation's input is checked completely before anything is sent."""

import re
from typing import Any

import pytest

from tests.plain_twilio import sid
from tests.schema.mutations import (
    APPLICATION,
    END,
    FROM,
    LIVE,
    MAKE,
    REDIRECT,
    gateway,
    making,
    refused,
)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"to": "4155550123"}, "to"),
        ({"to": ""}, "to"),
        ({"to": "+0123456"}, "to"),
        ({"to": "+1415555012３"}, "to"),
        ({"to": "sip:desk"}, "to"),
        ({"to": "client:"}, "to"),
        ({"from_": "+1 500"}, "from"),
        ({"from_": "client:tommy"}, "from"),
        ({"instructions": {"url": "example.com"}}, "instructions.url"),
        ({"instructions": {"url": "ftp://example.com"}}, "instructions.url"),
        ({"instructions": {"url": "https://"}}, "instructions.url"),
        ({"instructions": {"url": "https://example.com/a b"}}, "instructions.url"),
        ({"instructions": {"url": "http://[::1"}}, "instructions.url"),
        ({"instructions": {"url": "https://h/" + "x" * 4000}}, "instructions.url"),
        ({"instructions": {"twiml": " "}}, "instructions.twiml"),
        ({"instructions": {"twiml": "x" * 4001}}, "instructions.twiml"),
        ({"instructions": {"applicationSid": "AP1"}}, "instructions.applicationSid"),
        ({"method": "GET"}, "method"),
        ({"fallbackUrl": "/f"}, "fallbackUrl"),
        ({"fallbackMethod": "GET"}, "fallbackMethod"),
        ({"statusCallback": "https://a_b.example.com"}, "statusCallback"),
        ({"statusCallback": "mailto:a@example.com"}, "statusCallback"),
        ({"statusCallbackEvent": ["RINGING"]}, "statusCallbackEvent"),
        ({"statusCallback": "https://h", "statusCallbackEvent": []}, "statusCallbackEvent"),
        ({"statusCallbackMethod": "GET"}, "statusCallbackMethod"),
        ({"sendDigits": ""}, "sendDigits"),
        ({"sendDigits": "1" * 33}, "sendDigits"),
        ({"sendDigits": "12e"}, "sendDigits"),
        ({"sendDigits": "٣"}, "sendDigits"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": 601}, "timeout"),
        ({"timeLimit": 0}, "timeLimit"),
        ({"timeLimit": 86401}, "timeLimit"),
        ({"recordingChannels": "DUAL"}, "recordingChannels"),
        ({"record": False, "recordingTrack": "BOTH"}, "recordingTrack"),
        ({"trim": "TRIM_SILENCE"}, "trim"),
        ({"recordingStatusCallback": "https://h"}, "recordingStatusCallback"),
        ({"record": True, "recordingStatusCallback": "h"}, "recordingStatusCallback"),
        (
            {"record": True, "recordingStatusCallbackEvent": ["ABSENT"]},
            "recordingStatusCallbackEvent",
        ),
        ({"record": True, "recordingStatusCallbackMethod": "GET"}, "recordingStatusCallbackMethod"),
        ({"machineDetection": "ENABLE", "sendDigits": "1"}, "machineDetection"),
        ({"machineDetection": "ENABLE", "machineDetectionTimeout": 2}, "machineDetectionTimeout"),
        ({"machineDetection": "ENABLE", "machineDetectionTimeout": 60}, "machineDetectionTimeout"),
        ({"machineDetectionTimeout": 30}, "machineDetectionTimeout"),
        (
            {"machineDetection": "ENABLE", "machineDetectionSpeechThreshold": 6001},
            "machineDetectionSpeechThreshold",
        ),
        ({"machineDetectionSpeechThreshold": 2400}, "machineDetectionSpeechThreshold"),
        (
            {"machineDetection": "ENABLE", "machineDetectionSpeechEndThreshold": 499},
            "machineDetectionSpeechEndThreshold",
        ),
        ({"machineDetectionSpeechEndThreshold": 500}, "machineDetectionSpeechEndThreshold"),
        (
            {"machineDetection": "ENABLE", "machineDetectionSilenceTimeout": 10001},
            "machineDetectionSilenceTimeout",
        ),
        ({"machineDetectionSilenceTimeout": 2000}, "machineDetectionSilenceTimeout"),
        ({"asyncAmd": True}, "asyncAmd"),
        (
            {"machineDetection": "ENABLE", "asyncAmdStatusCallback": "https://h"},
            "asyncAmdStatusCallback",
        ),
        (
            {"machineDetection": "ENABLE", "asyncAmd": True, "asyncAmdStatusCallback": "h"},
            "asyncAmdStatusCallback",
        ),
        (
            {"machineDetection": "ENABLE", "asyncAmd": True, "asyncAmdStatusCallbackMethod": "GET"},
            "asyncAmdStatusCallbackMethod",
        ),
        ({"callerId": "me"}, "callerId"),
        ({"callReason": ""}, "callReason"),
        ({"callToken": " "}, "callToken"),
        ({"byoc": sid("CA", 1)}, "byoc"),
        ({"sipAuthUsername": "desk"}, "sipAuthUsername"),
        ({"sipAuthPassword": "x"}, "sipAuthPassword"),
        ({"sipAuthUsername": "a b", "sipAuthPassword": "x"}, "sipAuthUsername"),
        ({"sipAuthUsername": "a", "sipAuthPassword": "x" * 256}, "sipAuthPassword"),
        ({"clientNotificationUrl": "h"}, "clientNotificationUrl"),
        ({"idempotencyKey": ""}, "idempotencyKey"),
        ({"idempotencyKey": "x" * 201}, "idempotencyKey"),
        (
            {"instructions": {"applicationSid": APPLICATION}, "fallbackUrl": "https://h"},
            "fallbackUrl",
        ),
        (
            {"instructions": {"applicationSid": APPLICATION}, "statusCallback": "https://h"},
            "statusCallback",
        ),
    ],
)
async def test_what_twilio_would_refuse_or_ignore_is_refused_before_it_is_sent(
    given: dict[str, Any], field: str
) -> None:
    async with gateway() as (twilio, client):
        errors = await refused(client, MAKE, making(**given))

        assert errors == [(f"input.{field}", "INVALID_INPUT", None)]
        assert twilio.asked() == []


async def test_all_that_is_wrong_is_said_at_once() -> None:
    async with gateway() as (_, client):
        errors = await refused(
            client, MAKE, making(to="x", from_="y", timeout=0, instructions={"twiml": ""})
        )

        assert [field for field, _, _ in errors] == [
            "input.to", "input.from", "input.instructions.twiml", "input.timeout",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("to", "from_"),
    [
        ("sip:desk-07@pbx.example.com", "client:tommy"),
        ("sips:desk@pbx.example.com;transport=tls", FROM),
        ("client:tommy", FROM),
        ("sim:DE0123", FROM),
        ("+49301234", "+86213"),
    ],
)
async def test_numbers_sip_addresses_and_clients_can_be_called(to: str, from_: str) -> None:
    async with gateway() as (twilio, client):
        await client.data(MAKE, input=making(to=to, from_=from_))

        assert twilio.asked() == [f"POST Calls To={to}&From={from_}&Twiml=<Response/>"]


@pytest.mark.parametrize(
    ("mutation", "given", "field"),
    [
        (REDIRECT, {"sid": "CA1", "instructions": {"url": "https://h"}}, "sid"),
        (REDIRECT, {"sid": LIVE, "instructions": {"url": "h"}}, "instructions.url"),
        (REDIRECT, {"sid": LIVE, "instructions": {"twiml": "<R/>"}, "method": "GET"}, "method"),
        (
            REDIRECT,
            {"sid": LIVE, "instructions": {"twiml": "<R/>"}, "statusCallback": "https://h"},
            "statusCallback",
        ),
        (
            REDIRECT,
            {"sid": LIVE, "instructions": {"url": "https://h"}, "statusCallbackMethod": "GET"},
            "statusCallbackMethod",
        ),
        (
            REDIRECT,
            {"sid": LIVE, "instructions": {"url": "https://h"}, "timeLimit": -1},
            "timeLimit",
        ),
        (END, {"sid": "../Accounts"}, "sid"),
        (END, {"sid": LIVE, "idempotencyKey": " "}, "idempotencyKey"),
    ],
)
async def test_changes_are_checked_before_they_are_sent(
    mutation: str, given: dict[str, Any], field: str
) -> None:
    async with gateway() as (twilio, client):
        errors = await refused(client, mutation, given)

        assert errors == [(f"input.{field}", "INVALID_INPUT", None)]
        assert twilio.asked() == []


@pytest.mark.parametrize(
    "instructions",
    [
        {},
        {"url": "https://h", "twiml": "<Response/>"},
        {"url": None},
        {"url": "https://h", "twiml": None},
    ],
)
async def test_instructions_are_exactly_one(instructions: dict[str, Any]) -> None:
    """By GraphQL's own @oneOf: a request error, before any resolver runs."""
    async with gateway() as (twilio, client):
        answer = await client.answer(MAKE, input=making(instructions=instructions))

        assert "data" not in answer
        assert re.search("exactly one|non-null", answer["errors"][0]["message"])
        assert twilio.asked() == []
